/**
 * A pool between two shifts. Its shift here has ended for a next one, on this node or on another, and that comes within
 * a tenth of a second as a rule. It comes late where Temporal is away, where the node that is to have the pool has died
 * or stands still, or where such a node has the task of the pool's workflow: the pool would have no keeper for as long
 * as a time-out. So if nobody has taken it in time, this node keeps it on meanwhile, without an activity: it takes the
 * fence back. As soon as the next shift takes the fence, wherever that is, the flush ends it here, as it does with
 * every shift of an older token; where it is this node that has taken it, `keep.ts` says so at once.
 *
 * Told by `keep.ts` of each shift that has ended so; the fence says whether somebody has the pool, and nobody else is
 * asked.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { Database } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import { isPassing } from '../../lib/sqlstate';
import { idOf } from '../placement/types';
import { seenFences, takeBackFence, type PoolClaim, type PoolFence } from '../store/fence';
import { readTracker, type TrackerRow } from '../store/trackers';
import { DEFAULT_PATIENCE_MS } from './end-watch';
import type { FailingPools } from './failing-pools';
import type { Ending, PoolShift } from './pool-shift';
import type { Semaphore } from './semaphore';

const LOOK_MS = 250;
/** A next shift that has not come so long after the end of the last one is late. Milliseconds. */
const LATE_MS = 750;
/**
 * One that this node cannot keep on, though PostgreSQL answers, is tried again later each time: before what was said of
 * it is forgotten (`failing-pools.ts`). Milliseconds.
 */
const LATEST_MS = 30_000;
/** A pool that was kept on for so long and then crashes has not failed again and again. Milliseconds. */
const LASTED_MS = 60_000;
const READ_LIMITS = { statementTimeoutMs: 2_000, lockTimeoutMs: 500 };

export interface MeanwhileDeps {
  node: {
    readonly definitions: ReadonlyMap<string, TrackerDefinition>;
    readonly isDraining: boolean;
    readonly taking: Semaphore;
    readonly arriving: Semaphore;
    readonly failing: Pick<FailingPools, 'failed'>;
  };
  database: Database;
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
  /** Monotonic: this node keeps it on from then, if nobody else does. */
  readonly from: number;
  /** How often in a row it could not be kept on, or crashed soon, though PostgreSQL answered. */
  readonly failures: number;
}

export class Meanwhile {
  /** By pool. */
  private readonly between = new Map<string, Between>();
  private readonly shifts = new Set<PoolShift>();
  /** So many are being taken back and loaded. */
  private beginning = 0;
  private timer: NodeJS.Timeout | undefined;
  private looking = false;

  constructor(private readonly deps: MeanwhileDeps) {}

  /** A shift has ended here, and a next one is to follow. */
  ended(claim: PoolClaim, token: number): void {
    this.between.set(idOf(claim), { claim, token, from: performance.now() + LATE_MS, failures: 0 });
    this.timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** The next shift has taken the fence, on this node: what is kept on by an older one ends now. */
  taken(claim: PoolClaim): void {
    const id = idOf(claim);
    this.between.delete(id);
    for (const shift of this.shifts) if (idOf(shift.claim) === id) shift.breakOff('fenced');
  }

  /** Never rejects. */
  async look(): Promise<void> {
    this.endThose();
    if (this.looking) return;
    this.looking = true;
    await this.keepWhatNobodyTakes()
      .catch((thrown: unknown) => this.deps.log.debug({ err: errorOf(thrown) }, 'the pools are looked at again'))
      .finally(() => (this.looking = false));
    if (this.between.size > 0 || this.shifts.size > 0 || this.beginning > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async keepWhatNobodyTakes(): Promise<void> {
    if (this.deps.node.isDraining) this.between.clear();
    const now = performance.now();
    const late = [...this.between].filter(([, { from }]) => now >= from);
    if (late.length === 0) return;
    const known = late.map(([, { claim, token }]) => ({ tracker: claim.tracker, pool: claim.pool, token }));
    const seen = await this.deps.database.transaction((db) => seenFences(db, known), READ_LIMITS);
    const taken = new Set(seen.map(idOf));
    // Not waited for: those that come after them are looked at meanwhile, however long one of these may take.
    for (const [id, one] of late) void this.keepOn(id, one, taken.has(id));
  }

  /** Never rejects. */
  private async keepOn(id: string, one: Between, isTaken: boolean): Promise<void> {
    // A later shift may have ended here while the fences were read.
    if (this.between.get(id) === one) this.between.delete(id);
    if (isTaken) return;
    this.beginning++;
    const arrived = await this.deps.node.arriving.enter();
    await this.keep(id, one).finally(() => {
      this.beginning--;
      arrived();
    });
  }

  /** Never rejects. */
  private async keep(id: string, one: Between): Promise<void> {
    const { node, database } = this.deps;
    const { claim } = one;
    const definition = node.definitions.get(claim.tracker);
    let { token } = one;
    try {
      if (node.isDraining || !definition) return;
      const back = await node.taking.run(async () => {
        const tracker = await database.transaction((db) => readTracker(db, claim.tracker));
        if (!tracker || tracker.state === 'stopped') return undefined;
        const fence = await takeBackFence(database, claim, token);
        return fence && { fence, tracker };
      });
      // Somebody has it, or nobody is to have it.
      if (!back) return;
      ({ token } = back.fence);
      await this.begin(one, back, definition);
    } catch (thrown) {
      this.failed(id, { ...one, token }, errorOf(thrown));
    }
  }

  private async begin(
    { claim, failures }: Between,
    back: { fence: PoolFence; tracker: TrackerRow },
    definition: TrackerDefinition,
  ): Promise<void> {
    const log = this.deps.log.child({ tracker: claim.tracker, pool: claim.pool, shift: claim.shift });
    const shift = await this.deps.begin(claim, back, definition, log);
    log.warn('nobody has begun the next shift in time: this node keeps the pool meanwhile');
    this.shifts.add(shift);
    void this.keepUntilEnd(shift, failures);
  }

  /** It is tried again until somebody has it; less and less, and with a word in the log, if it is not for an outage. */
  private failed(id: string, one: Between, error: Error): void {
    const { log, node } = this.deps;
    const failures = one.failures + (isPassing(error) ? 0 : 1);
    const said = failures === 1 && one.failures === 0 ? 'error' : 'debug';
    log[said]({ err: error, pool: id }, 'a pool between two shifts cannot be kept on now');
    if (failures > one.failures) node.failing.failed(one.claim, `kept on meanwhile: ${error.message}`, failures);
    const inMs = Math.min(LATEST_MS, LATE_MS * 2 ** Math.min(failures, 10));
    if (!this.between.has(id)) this.between.set(id, { ...one, from: performance.now() + inMs, failures });
  }

  /** Never rejects. @param failures before it began */
  private async keepUntilEnd(shift: PoolShift, failures: number): Promise<void> {
    const began = performance.now();
    const ending = await shift.ended;
    const lasted = performance.now() - began >= LASTED_MS;
    try {
      await this.deps.finish(shift, ending);
    } catch (thrown) {
      shift.log.error({ err: errorOf(thrown) }, 'a pool that was kept on could not be let go as it should');
    } finally {
      this.shifts.delete(shift);
    }
    if (this.deps.node.isDraining) return;
    // PostgreSQL has refused it, or its code has crashed; there may still be nobody else.
    const { claim, token } = shift;
    if (ending === 'handed back') this.ended(claim, token);
    else if (ending instanceof Error)
      this.failed(idOf(claim), { claim, token, from: 0, failures: lasted ? 0 : failures }, ending);
  }

  /** The node ends, or PostgreSQL has refused its results for too long. */
  private endThose(): void {
    for (const shift of this.shifts) {
      const patienceMs = shift.options.patienceMs ?? DEFAULT_PATIENCE_MS;
      if (this.deps.node.isDraining || shift.refusedFor(performance.now()) > patienceMs) shift.end('handed back');
    }
  }
}
