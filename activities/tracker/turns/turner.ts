/**
 * Begins the turns of a node's pools and ends each by what its code came to. A member's turns run one after another,
 * those of different members at once, as many as the tracker's options and the node say. Called by `node-turns.ts`;
 * turns that have ended wait for the commit (`committer.ts`).
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import type { Turn } from '../member/turn';
import type { TurnsHost } from './host';
import type { PoolTurns } from './pool';
import { ShiftOver } from './over';
import { runCode } from './run';
import type { Strikes } from './strikes';

/** The thread is the node's too: after this, the rest waits for the next turn of the event loop. Milliseconds. */
const SLICE_MS = 10;

/** Runs turns in transactions of their own, from their beginning to their commit. */
export interface RunsAlone {
  /** Waits for a place first: there are as many as connections. Until then nothing of the turn has begun. */
  inPlace(work: () => Promise<void>): Promise<void>;
  run(pool: PoolTurns, turn: Turn): Promise<void>;
}

export class Turner {
  private running = 0;
  private from = 0;

  constructor(
    private readonly host: TurnsHost,
    private readonly nodeConcurrency: number,
    private readonly strikes: Strikes,
    private readonly alone: RunsAlone,
  ) {}

  /** Begins what can begin now, each pool one at a time. @returns whether there is more that could, and no time */
  begin(): boolean {
    const until = performance.now() + SLICE_MS;
    const pools = [...this.host.pools];
    // Another pool comes first each time.
    const first = this.from++ % Math.max(1, pools.length);
    let open = [...pools.slice(first), ...pools.slice(0, first)];
    while (open.length > 0) {
      open = open.filter((pool) => this.beginOne(pool));
      if (performance.now() > until) return open.length > 0;
    }
    return false;
  }

  private beginOne(pool: PoolTurns): boolean {
    if (!pool.mayBegin || this.running >= this.nodeConcurrency) return false;
    if (pool.begun >= pool.options.concurrency) return false;
    const turn = pool.members.next(this.host.now());
    if (!turn) return false;
    if (turn.entry.what.kind !== 'apply') pool.shift.awake.woke(turn.member.id, this.host.clock.now());
    // One that waits for its turn takes no place meanwhile.
    if (pool.strikes.isSuspect(turn)) this.strikes.alone(() => this.start(pool, turn));
    else void this.start(pool, turn);
    return true;
  }

  private async start(pool: PoolTurns, turn: Turn): Promise<void> {
    this.running++;
    pool.begun++;
    const work = (): Promise<void> =>
      pool.strikes.isCounted(turn) ? this.runCounted(pool, turn) : this.run(pool, turn);
    try {
      // A strike says that its code may be at work: it is counted when that can begin.
      await (pool.code.transaction ? this.alone.inPlace(work) : work());
    } finally {
      this.running--;
      pool.begun--;
      this.host.go();
    }
  }

  /** Its message may have ended the process of the pool's last keeper. */
  private runCounted(pool: PoolTurns, turn: Turn): Promise<void> {
    return this.strikes.run(pool, turn, {
      handle: () => this.run(pool, turn),
      fail: (error) => this.failed(pool, turn, error),
    });
  }

  private async run(pool: PoolTurns, turn: Turn): Promise<void> {
    const { members } = pool;
    // It has waited for its place: the tracker may be paused by now, or the shift be over.
    if (!pool.mayBegin) return members.giveBack(turn);
    try {
      if (pool.code.transaction) return await this.alone.run(pool, turn);
      await runCode(this.host, pool, turn);
    } catch (thrown) {
      if (thrown instanceof ShiftOver) return members.giveBack(turn);
      return this.failed(pool, turn, errorOf(thrown));
    }
    const ended = members.ended(turn, this.host.now());
    if (ended) this.host.ended(pool, turn.member.id, ended);
  }

  private failed(pool: PoolTurns, turn: Turn, error: Error): void {
    const ended = pool.members.failed(turn, error, this.host.now());
    if (ended) this.host.ended(pool, turn.member.id, ended);
  }
}
