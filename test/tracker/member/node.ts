/**
 * A node of the simulated world: it reads the mail of its pools, runs handlers, commits turns, and learns from
 * verdicts that a pool is not its own any more, or that its roster has changed. All decisions are those of the code
 * under test; what takes time, fails, freezes or dies is drawn.
 */
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import { PoolMembers } from '../../../activities/tracker/member/pool-members';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Answer } from '../../../activities/tracker/member/types';
import { TurnWriter, type KeptPool, type PoolSettled } from '../../../activities/tracker/member/writer';
import { hashId } from '../../../workflows/lib/hash';
import { holds, slotOf, slotsOf } from '../../../workflows/tracker/slots';
import type { EventQueue } from '../placement/event-queue';
import type { Draws } from '../../support/draws';
import { Unstorable, type MemberStore } from './store';

const CONCURRENCY = 4;
const TIMEOUT_MS = 400;

export interface Surroundings {
  readonly queue: EventQueue;
  readonly draw: Draws;
  readonly store: MemberStore;
  readonly limits: MemberLimits;
  /** A reading is not one statement: it looks into the tables one after another. */
  readonly tornReads: boolean;
  faults(): number;
  handler(turn: Turn, first: boolean): 'hangs' | (() => void);
  told(request: string, answer: Answer['answer']): void;
  voided(): void;
}

interface Kept extends KeptPool {
  readonly pool: number;
  readonly token: number;
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

  constructor(private readonly world: Surroundings) {
    this.writer = new TurnWriter(world.limits);
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
    const kept: Kept = {
      pool,
      members,
      token: ++row.token,
      rosterVersion: row.rosterVersion,
      layout: store.pools.length,
      reading: false,
      readAgain: false,
      fence: () => ({ token: kept.token, rosterVersion: kept.rosterVersion }),
    };
    this.kept.set(pool, kept);
    this.writer.add(kept);
    this.read(kept);
  }

  drop(pool: number): void {
    const kept = this.kept.get(pool);
    if (!kept) return;
    this.kept.delete(pool);
    this.writer.remove(kept);
  }

  /** As each second, or at a notification. */
  look(pool: number): void {
    const kept = this.kept.get(pool);
    if (kept) this.read(kept);
  }

  private isKept(kept: Kept): boolean {
    return this.kept.get(kept.pool) === kept;
  }
  private idsOf({ pool, layout }: Kept): (id: string) => boolean {
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
    const first = store.read(ids, reading, tornReads ? [0, 1] : [0, 1, 2]);
    const arrive = (all: typeof first, fails: boolean): void => {
      this.in(draw.whole(1, 15), () => {
        kept.reading = false;
        if (fails) kept.members.dropReading();
        else kept.members.endReading([...all].sort((a, b) => a.id - b.id).slice(0, reading.rows));
        if (!this.isKept(kept)) return;
        kept.members.timersDue(store.timersDue(ids));
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

  /** Whatever can be done now. */
  go(): void {
    for (const kept of this.kept.values()) this.load(kept);
    let more = true;
    while (more && this.running < CONCURRENCY) {
      more = false;
      for (const kept of this.kept.values()) {
        if (this.running >= CONCURRENCY) break;
        const turn = kept.members.next(this.now);
        if (!turn) continue;
        more = true;
        this.start(kept, turn);
      }
    }
    for (const kept of this.kept.values()) {
      this.wakeAt(kept.members.wakesAt);
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

  private start(kept: Kept, turn: Turn): void {
    const { draw, handler } = this.world;
    this.running++;
    let over = false;
    const end = (work: () => void): void => {
      if (over) return;
      over = true;
      this.running--;
      work();
      if (this.isKept(kept)) this.go();
      else this.commit();
    };
    const handle = handler(turn, kept.members.member(turn.member.id)?.hooked === false);
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
          kept.members.narrow(this.idsOf(kept));
        }
        for (const { id, stamp } of changes) kept.members.removed(id, stamp);
        this.read(kept);
        this.go();
      });
    }
  }
}
