/**
 * Pools on their way, through random histories: they are decided about, end their shifts, are taken by whom they were
 * meant for or by others, are heard of twice or never, and their targets die.
 */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { HandOvers } from '../../../activities/tracker/placement/hand-overs';
import type { PlacementRow } from '../../../activities/tracker/placement/row';
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';

const { handOverMs, jamMs, jamMemoryMs } = PLACEMENT;
const NODES = ['a', 'b', 'c'];
const EDGES = [jamMs, jamMemoryMs, handOverMs].flatMap((ms) => [ms - 1, ms, ms + 1]);

/** The events of a pool, as somebody who sees everything would note them. */
interface Noted {
  readonly members: number;
  readonly to: string;
  readonly decidedAt: number;
  releasedAt?: number;
  takenAt?: number;
}

class World {
  private readonly draw: Draws;
  private readonly handOvers = new HandOvers();
  private readonly noted = new Map<string, Noted>();
  private readonly rows = new Map<string, PlacementRow>();
  private now = 1_700_000_000_000;
  private lastTook = { ms: 0, knownAt: -Infinity };

  constructor(seed: number) {
    this.draw = new Draws(seed);
  }

  live(): void {
    for (let steps = 0; steps < 80; steps++) {
      this.now += this.draw.one([0, 0, 1, 60, 250, ...(this.draw.chance(0.2) ? EDGES : [])]);
      this.happen();
      this.check();
    }
  }

  private happen(): void {
    const { draw, handOvers, noted, now } = this;
    const id = `eve/${draw.whole(0, 4)}`;
    const seen = noted.get(id);
    const event = draw.one(['begin', 'begin', 'released', 'released', 'taken', 'forget', 'rows', 'gone']);
    if (event === 'begin') {
      const [to, members] = [draw.one(NODES), draw.whole(1, 5_000)];
      handOvers.begin({ id, kind: 'eve', size: 100, members }, to, now);
      noted.set(id, { to, members, decidedAt: now });
    } else if (event === 'released') {
      handOvers.released(id, now);
      if (seen) seen.releasedAt ??= now;
    } else if (event === 'taken') this.take(id, seen);
    else if (event === 'forget' && draw.chance(0.3)) {
      handOvers.forget(id);
      noted.delete(id);
    } else if (event === 'gone') this.rows.delete(draw.one(NODES));
    else this.tidy();
  }

  private take(id: string, seen: Noted | undefined): void {
    const { draw, now } = this;
    const by = seen && draw.chance(0.7) ? seen.to : draw.one(NODES);
    const takenAt = now - draw.one([0, 20, 300]);
    this.handOvers.taken(id, by, takenAt, now);
    // Heard of a second time: nothing new.
    if (!seen || seen.takenAt !== undefined) return;
    // By a node that was quicker than the end of the shift: it took no time.
    this.lastTook = { ms: seen.releasedAt === undefined ? 0 : takenAt - seen.releasedAt, knownAt: now };
    if (by === seen.to) seen.takenAt = takenAt;
    else this.noted.delete(id);
  }

  private tidy(): void {
    const { draw, now, noted } = this;
    for (const name of NODES)
      if (draw.chance(0.5)) this.rows.set(name, { name, at: now - draw.one([0, 20, 150, 300]) } as PlacementRow);
    this.handOvers.tidy(this.rows, now);
    for (const [id, { to, takenAt, releasedAt }] of noted) {
      const row = this.rows.get(to);
      // Its target has it in its row, or has died since; or nobody knows what became of it.
      if (takenAt !== undefined && (!row || row.at > takenAt)) noted.delete(id);
      else if (releasedAt !== undefined && now >= releasedAt + handOverMs) noted.delete(id);
    }
  }

  private check(): void {
    const { handOvers, noted, now } = this;
    const sent = [...noted].map(([pool, { to, releasedAt, takenAt }]) => ({
      ...{ pool, to, size: 100, kind: 'eve', takenAt },
      // While its shift is still ending it is sent now.
      sentAt: releasedAt ?? now,
    }));
    const byPool = <T extends { pool: string }>(list: T[]): T[] => list.sort((a, b) => (a.pool < b.pool ? -1 : 1));
    expect(byPool(handOvers.listed(now))).toEqual(byPool(sent));
    for (let at = 0; at <= 4; at++) expect(handOvers.has(`eve/${at}`)).toBe(noted.has(`eve/${at}`));
    const open = [...noted].filter(([, { takenAt }]) => takenAt === undefined);
    expect(handOvers.awaited().sort()).toEqual(open.map(([id]) => id).sort());
    // One that does not arrive, or whose shift cannot end, blocks the others for some seconds only.
    const counted = open.filter(([, { releasedAt, decidedAt }]) => now < (releasedAt ?? decidedAt) + handOverMs);
    const members = counted.reduce((sum, [, one]) => sum + one.members, 0);
    expect(handOvers.inFlight(now)).toEqual({ pools: counted.length, members });
    const wasSlow = this.lastTook.ms > jamMs && now < this.lastTook.knownAt + jamMemoryMs;
    const isSlow = open.some(([, { releasedAt }]) => releasedAt !== undefined && now > releasedAt + jamMs);
    expect(handOvers.isJammed(now)).toBe(wasSlow || isSlow);
  }
}

test('a hand-over of more than half a second is held against the server for three seconds', () => {
  const jammed = (tookMs: number, afterMs: number): boolean => {
    const handOvers = new HandOvers();
    handOvers.begin({ id: 'eve/1', kind: 'eve', size: 100, members: 1 }, 'a', 1_000);
    handOvers.released('eve/1', 1_000);
    handOvers.taken('eve/1', 'a', 1_000 + tookMs, 2_000);
    return handOvers.isJammed(2_000 + afterMs);
  };
  expect([jammed(jamMs, 0), jammed(jamMs + 1, 0)]).toEqual([false, true]);
  expect([jammed(jamMs + 1, jamMemoryMs - 1), jammed(jamMs + 1, jamMemoryMs)]).toEqual([true, false]);
});

test('what was taken is the target’s until its row is newer, and gone with the target', () => {
  const left = (rowAt: number | undefined): number => {
    const handOvers = new HandOvers();
    handOvers.begin({ id: 'eve/1', kind: 'eve', size: 100, members: 1 }, 'a', 1_000);
    handOvers.taken('eve/1', 'a', 1_500, 1_600);
    const rows = rowAt === undefined ? [] : [['a', { name: 'a', at: rowAt } as PlacementRow] as const];
    handOvers.tidy(new Map(rows), 2_000);
    return handOvers.listed(2_000).length;
  };
  expect([left(1_499), left(1_500), left(1_501), left(undefined)]).toEqual([1, 1, 0, 0]);
});

simulate('what is on its way, for how long, and whether that is long', (seed) => new World(seed).live(), {
  histories: 100,
});
