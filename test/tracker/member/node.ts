/**
 * A node of the simulated world: it reads the mail of its pools, runs handlers, commits turns, and learns from
 * verdicts that a pool is not its own any more, or that its roster has changed. All decisions are those of the code
 * under test; what takes time, fails, freezes or dies is drawn.
 */
import { PoolMembers } from '../../../activities/tracker/member/pool-members';
import { NOTHING_STRUCK, PoolStrikes } from '../../../activities/tracker/member/strikes';
import type { Turn } from '../../../activities/tracker/member/turn';
import { TurnWriter, type KeptPool, type PoolSettled } from '../../../activities/tracker/member/writer';
import { hashId } from '../../../workflows/lib/hash';
import { holds, slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { Loads } from './loads';
import { Unstorable } from './store';
import { Suspects } from './suspects';
import type { Surroundings } from './surroundings';

const CONCURRENCY = 4;
const TIMEOUT_MS = 400;

interface Kept extends KeptPool {
  readonly pool: number;
  readonly token: number;
  readonly strikes: PoolStrikes;
  /** Its handlers that are at work, and those whose strike is being counted. */
  readonly running: Set<Turn>;
  readonly counting: Set<Turn>;
  readonly loads: Loads;
  isPaused: boolean;
  rosterVersion: number;
  layout: number;
  reading: boolean;
  readAgain: boolean;
}

export class SimulatedNode {
  alive = true;
  frozenUntil = 0;
  readonly kept = new Map<number, Kept>();
  private readonly writer: TurnWriter;
  private running = 0;
  private wakes = Infinity;
  private readonly suspects: Suspects;

  constructor(private readonly world: Surroundings) {
    this.writer = new TurnWriter(world.limits);
    this.suspects = new Suspects(world, {
      in: (ms, work) => this.in(ms, work),
      isKept: (kept) => this.kept.get(kept.pool) === kept,
      go: () => this.go(),
    });
  }

  private get now(): number {
    return this.world.store.now();
  }

  /** Happens on this node: later where it is frozen, never where it is dead. */
  in(ms: number, work: () => void): void {
    const { queue } = this.world;
    const run = (): void => {
      if (!this.alive) return;
      if (this.frozenUntil > queue.now) queue.in(this.frozenUntil - queue.now, run);
      else work();
    };
    queue.in(ms, run);
  }

  // ── Pools ──

  keep(pool: number): void {
    const { store, limits } = this.world;
    this.drop(pool);
    const row = store.pools[pool]!;
    const members = new PoolMembers('t', pool, limits);
    const layout = store.pools.length;
    const isClean = row.isReleased === true;
    const struck = store.take(pool, this.idsOf({ pool, layout }));
    const kept: Kept = {
      pool,
      members,
      strikes: new PoolStrikes(this.world.isFatal ? struck : NOTHING_STRUCK),
      running: new Set(),
      counting: new Set(),
      loads: new Loads(members),
      isPaused: this.world.isPaused,
      token: row.token,
      rosterVersion: row.rosterVersion,
      layout,
      reading: false,
      readAgain: false,
      fence: () => ({ token: kept.token, rosterVersion: kept.rosterVersion }),
    };
    this.kept.set(pool, kept);
    this.world.taken(kept, isClean);
    this.writer.add(kept);
    this.read(kept);
  }

  drop(pool: number): void {
    const kept = this.kept.get(pool);
    if (!kept) return;
    this.kept.delete(pool);
    this.writer.remove(kept);
    kept.loads.unloaded(kept.members.unload());
  }

  /** It ends cleanly: its handlers are let go, and none of them is to blame. */
  release(pool: number): void {
    const { store, cameBack } = this.world;
    const kept = this.kept.get(pool);
    if (!kept) return;
    for (const turn of kept.running) {
      store.deleteStrike(kept, turn.context.key);
      cameBack(turn, this);
    }
    for (const turn of kept.counting) store.uncountStrike(kept, turn.context.key);
    this.drop(pool);
    const row = store.pools[pool]!;
    if (row.token === kept.token) row.isReleased = true;
  }

  /** As each second, or at a notification. */
  look(pool: number): void {
    const kept = this.kept.get(pool);
    if (kept) this.read(kept);
  }

  private isKept(kept: Kept): boolean {
    return this.kept.get(kept.pool) === kept;
  }
  private idsOf({ pool, layout }: Pick<Kept, 'pool' | 'layout'>): (id: string) => boolean {
    const slots = slotsOf(pool, layout);
    return (id) => holds(slots, slotOf(hashId(id)));
  }

  private read(kept: Kept): void {
    if (kept.reading) {
      kept.readAgain = true;
      return;
    }
    const { draw, store, queue, tornReads } = this.world;
    kept.reading = true;
    const reading = kept.members.beginReading();
    const ids = this.idsOf(kept);
    const { layout } = kept;
    const first = store.read(ids, reading, tornReads ? [0, 1] : [0, 1, 2]);
    const arrive = (all: typeof first, fails: boolean): void => {
      this.in(draw.whole(1, 15), () => {
        kept.reading = false;
        if (fails) kept.members.dropReading();
        else kept.members.endReading([...all].sort((a, b) => a.id - b.id).slice(0, reading.rows));
        if (!this.isKept(kept)) return;
        if (kept.layout === layout) kept.members.timersDue(store.timersDue(ids));
        if (kept.readAgain || fails || all.length >= reading.rows) {
          kept.readAgain = false;
          this.in(10, () => this.isKept(kept) && this.read(kept));
        }
        this.go();
      });
    };
    const fails = draw.chance(this.world.faults());
    if (!tornReads) return arrive(first, fails);
    queue.in(draw.whole(0, 10), () => arrive([...first, ...store.read(ids, reading, [2])], fails));
  }

  private load(kept: Kept): void {
    const { draw, store } = this.world;
    for (const id of kept.members.takeLoads(draw.whole(1, 8), this.now)) {
      const stored = store.load(id);
      const fails = draw.chance(this.world.faults());
      this.in(draw.whole(1, 15), () => {
        if (fails) kept.members.notLoaded(id);
        else kept.members.loaded(id, stored, this.now);
        if (this.isKept(kept)) this.go();
      });
    }
  }

  // ── Turns ──

  /** As each second: those that had nothing to do for a while are out of memory. */
  unload(before: () => number): void {
    for (const { loads, members } of this.kept.values()) loads.unloaded(members.unload(before()));
  }

  /** Its pools hear that the tracker is paused, or goes on. */
  follow(): void {
    for (const kept of this.kept.values()) kept.isPaused = this.world.isPaused;
    this.go();
  }

  /** Whatever can be done now. */
  go(): void {
    for (const kept of this.kept.values()) this.load(kept);
    let more = true;
    while (more && this.running < CONCURRENCY) {
      more = false;
      for (const kept of this.kept.values()) {
        if (this.running >= CONCURRENCY) break;
        if (kept.isPaused) continue;
        const turn = kept.members.next(this.now);
        if (!turn) continue;
        more = true;
        this.begin(kept, turn);
      }
    }
    for (const kept of this.kept.values()) {
      if (!kept.isPaused) this.wakeAt(kept.members.wakesAt);
      if (kept.members.wantsReading && !kept.reading)
        this.in(5, () => this.isKept(kept) && kept.members.wantsReading && this.read(kept));
    }
    this.commit();
  }

  /** It goes on by itself then; the earliest counts. */
  private wakeAt(at: number): void {
    const wakes = Math.max(at, this.now + 1);
    if (at === Infinity || wakes >= this.wakes) return;
    this.wakes = wakes;
    this.in(wakes - this.now, () => {
      if (this.wakes <= this.now) this.wakes = Infinity;
      this.go();
    });
  }

  private begin(kept: Kept, turn: Turn): void {
    this.suspects.begin(kept, turn, (over) => this.start(kept, turn, over));
  }

  private start(kept: Kept, turn: Turn, cameBack: () => void): void {
    const { draw, handler, kill } = this.world;
    if (kept.isPaused) {
      // It has waited for its place.
      kept.members.giveBack(turn);
      return cameBack();
    }
    turn.hasBegun = true;
    this.running++;
    kept.running.add(turn);
    kept.loads.begin(turn);
    let over = false;
    const end = (work: () => void): void => {
      if (over) return;
      over = true;
      this.running--;
      kept.running.delete(turn);
      this.world.cameBack(turn, this);
      work();
      cameBack();
      if (this.isKept(kept)) this.go();
      else this.commit();
    };
    const handle = handler(turn, this, kept);
    if (handle === 'ends its process') return this.in(draw.whole(0, 10), () => kill(this));
    const timeout = (): void => end(() => kept.members.failed(turn, new Error('its time is over'), this.now));
    if (handle === 'hangs') return this.in(TIMEOUT_MS, timeout);
    this.in(draw.chance(0.5) ? 0 : draw.size(1, 30), () => {
      end(() => {
        try {
          handle();
        } catch (thrown) {
          kept.members.failed(turn, thrown, this.now);
          return;
        }
        kept.members.ended(turn, this.now);
      });
    });
  }

  // ── Commits ──

  private commit(): void {
    const { writer } = this;
    const { draw, store, queue } = this.world;
    if (writer.isBusy) return;
    const commit = writer.next(this.now);
    if (!commit) {
      // Its pool is locked.
      if ([...this.kept.values()].some(({ members }) => members.hasTurnsToCommit)) this.wakeAt(this.now + 60);
      return;
    }
    const rate = this.world.faults();
    const fate = draw.chance(rate) ? draw.one(['never', 'lost', 'lost and late', 'not made'] as const) : 'made';
    const after = (ms: number, work: () => void): void =>
      this.in(ms, () => {
        work();
        this.go();
      });
    if (fate === 'not made') return after(10, () => writer.notMade(this.now));
    if (fate !== 'made') {
      if (fate !== 'never')
        queue.in(fate === 'lost' ? 2 : draw.size(200, 3_000), () => void this.carryOut(() => store.commit(commit)));
      return after(draw.whole(5, 300), () => writer.lost());
    }
    queue.in(draw.whole(1, 8), () => {
      const verdicts = this.carryOut(() => store.commit(commit));
      after(draw.whole(1, 8), () => {
        if (verdicts === undefined) writer.refused(new Error('54000'), this.now);
        else for (const settled of writer.answered(verdicts, this.now)) this.settled(settled);
      });
    });
  }

  private carryOut<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (thrown) {
      if (thrown instanceof Unstorable) return undefined;
      throw thrown;
    }
  }

  private settled({ pool, turns, verdict, void: voided }: PoolSettled): void {
    const { store, draw, told } = this.world;
    const kept = pool as Kept;
    for (const { answer, tellAgain, entry } of turns) {
      if (answer) told(answer.request, answer.answer);
      const member = entry.what.kind === 'mail' ? entry.what.mail.member : '';
      const there = tellAgain && store.answerTo(member, tellAgain.request);
      if (there) told(tellAgain.request, there);
    }
    if (voided.length > 0) {
      this.world.voided();
      this.in(1, () => this.isKept(kept) && this.read(kept));
    }
    if (!this.isKept(kept)) return;
    if (verdict === 'fenced') this.drop(kept.pool);
    if (verdict === 'roster') {
      const since = kept.rosterVersion;
      const version = store.pools[kept.pool]!.rosterVersion;
      const layout = store.pools.length;
      const changes = store.changes.filter((change) => change.version > since);
      this.in(draw.whole(1, 10), () => {
        kept.rosterVersion = version;
        if (layout !== kept.layout) {
          kept.layout = layout;
          kept.loads.unloaded(kept.members.narrow(this.idsOf(kept)));
        }
        for (const { id, stamp } of changes) kept.members.removed(id, stamp);
        this.read(kept);
        this.go();
      });
    }
  }
}
