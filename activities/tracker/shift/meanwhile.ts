/**
 * A pool between two shifts while Temporal is away. Its shift here has ended for a next one, on this node or on
 * another, and nobody can begin that: the pool would have no keeper until Temporal is back. So this node keeps it on
 * meanwhile, without an activity, by the fence that it still has. As soon as the next shift takes the fence, wherever
 * that is, the flush ends it here, as it does with every shift of an older token.
 *
 * Told by `keep.ts` of each shift that has ended so. It asks Temporal nothing while no shift has ended a moment ago.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { Database } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import type { TemporalLink } from '../../lib/temporal';
import { takeBackFence, type PoolClaim, type PoolFence } from '../store/fence';
import { readTracker, type TrackerRow } from '../store/trackers';
import { DEFAULT_PATIENCE_MS } from './end-watch';
import { idOf } from './placed-pool';
import type { Ending, PoolShift } from './pool-shift';

/** How often it looks, and how old the end of a shift is at least. Milliseconds. */
const LOOK_MS = 500;
/** If Temporal has answered for so long since the end of a shift, its next one has come, or will. Milliseconds. */
const COMES_MS = 5_000;

export interface MeanwhileDeps {
  node: { readonly definitions: ReadonlyMap<string, TrackerDefinition>; readonly isDraining: boolean };
  database: Database;
  temporal: Pick<TemporalLink, 'reachable'>;
  log: Logger;
  /** Puts a shift on the node, and takes it off again (`keep.ts`). */
  begin(
    claim: PoolClaim,
    taken: { fence: PoolFence; tracker: TrackerRow },
    definition: TrackerDefinition,
    log: Logger,
  ): Promise<PoolShift>;
  finish(shift: PoolShift, ending: Ending): Promise<void>;
}

interface Between {
  readonly claim: PoolClaim;
  readonly token: number;
  /** Monotonic: since when its next shift may come. */
  since: number;
}

export class Meanwhile {
  /** By pool. */
  private readonly between = new Map<string, Between>();
  private readonly shifts = new Set<PoolShift>();
  private timer: NodeJS.Timeout | undefined;
  private looking = false;

  constructor(private readonly deps: MeanwhileDeps) {}

  /** A shift has ended here, and a next one is to follow. */
  ended(claim: PoolClaim, token: number): void {
    this.between.set(idOf(claim), { claim, token, since: performance.now() });
    this.timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    this.endThose();
    if (this.looking) return;
    this.looking = true;
    await this.keepWhatNobodyTakes().finally(() => (this.looking = false));
    if (this.between.size > 0 || this.shifts.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async keepWhatNobodyTakes(): Promise<void> {
    const now = performance.now();
    const old = [...this.between].filter(([, { since }]) => now - since >= LOOK_MS);
    if (old.length === 0) return;
    const isReachable = await this.deps.temporal.reachable();
    for (const [id, one] of old) {
      const isOver = this.deps.node.isDraining || (isReachable && now - one.since >= COMES_MS);
      if (!isOver && isReachable) continue;
      this.between.delete(id);
      if (!isOver) await this.keep(one.claim, one.token).catch((thrown: unknown) => this.failed(id, one, thrown));
    }
  }

  /** One that cannot be kept on now is tried again, after the others. */
  private failed(id: string, one: Between, thrown: unknown): void {
    this.deps.log.debug({ err: errorOf(thrown), pool: id }, 'a pool between two shifts cannot be kept on now');
    if (!this.between.has(id)) this.between.set(id, one);
  }

  private async keep(claim: PoolClaim, token: number): Promise<void> {
    const { node, database } = this.deps;
    const definition = node.definitions.get(claim.tracker);
    const tracker = await database.transaction((db) => readTracker(db, claim.tracker));
    if (!definition || !tracker || tracker.state === 'stopped') return;
    const fence = await takeBackFence(database, claim, token);
    // Somebody has it.
    if (!fence) return;
    const log = this.deps.log.child({ tracker: claim.tracker, pool: claim.pool, shift: claim.shift });
    const shift = await this.deps.begin(claim, { fence, tracker }, definition, log);
    log.warn('Temporal is away and nobody has begun the next shift: this node keeps the pool meanwhile');
    this.shifts.add(shift);
    void this.keepUntilEnd(shift);
  }

  /** Never rejects. */
  private async keepUntilEnd(shift: PoolShift): Promise<void> {
    const ending = await shift.ended;
    if (ending instanceof Error) shift.log.error({ err: ending }, 'the pool that was kept on has crashed');
    try {
      await this.deps.finish(shift, ending);
    } catch (thrown) {
      shift.log.error({ err: errorOf(thrown) }, 'a pool that was kept on could not be let go as it should');
    } finally {
      this.shifts.delete(shift);
    }
    // PostgreSQL has refused it: Temporal may be away still when that is back.
    if (ending === 'handed back' && !this.deps.node.isDraining) this.ended(shift.claim, shift.token);
  }

  /** The node ends, or PostgreSQL has refused its results for too long. */
  private endThose(): void {
    for (const shift of this.shifts) {
      const patienceMs = shift.options.patienceMs ?? DEFAULT_PATIENCE_MS;
      if (this.deps.node.isDraining || shift.refusedFor(performance.now()) > patienceMs) shift.end('handed back');
    }
  }
}
