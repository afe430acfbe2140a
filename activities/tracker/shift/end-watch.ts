/**
 * Watches for all that can end a shift, and turns it into `shift.end(…)`: its time, its workflow, another node that has
 * the pool next, the node's shutdown, a database that refuses its results. Made by `keep.ts` for each shift.
 *
 * The fence decides, not Temporal's reachability: when Temporal cannot be reached, core cancels the activity by itself
 * after a while; such a cancellation is not obeyed. The shift goes on as long as its flushes hold the fence.
 */
import { performance } from 'node:perf_hooks';
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../../workflows/lib/errors';
import type { ShiftInput } from '../../../workflows/tracker/contract';
import { endAskedFor } from '../../lib/cancelled';
import { failure } from '../../lib/failures';
import type { TemporalLink } from '../../lib/temporal';
import type { Clock } from './clock';
import type { PoolShift } from './pool-shift';
import { WindDown } from './wind-down';

/** Options that were stored before there was such an option have none. */
export const DEFAULT_PATIENCE_MS = 10_000;
/** A shift whose time is up looks this often whether its runs have ended. Milliseconds. */
const WIND_DOWN_STEP_MS = 10;
/**
 * A pool whose history is full waits no longer than this for its long runs: it takes in changes meanwhile, and a
 * history has an end. Runs that are thrown away then are counted. Milliseconds.
 */
const ASKED_MS = 5 * 60_000;
/**
 * While Temporal is away, or this activity unknown to it, a shift looks this often whether it may end. Milliseconds.
 */
const OUTAGE_CHECK_MS = 1_000;
/** How often an orphaned shift asks for a successor. Milliseconds. */
const ORPHAN_WAKE_MS = 15_000;
/** Temporal takes a wake within this, or it is asked again. Milliseconds. */
const WAKE_MS = 5_000;
/** A run that has timed out, or whose thread has not begun, is given up within this. Milliseconds. */
const MARGIN_MS = 61_000;

export class EndWatch {
  private readonly context = Context.current();
  private readonly until: number;
  private readonly timer: NodeJS.Timeout;
  private winding: NodeJS.Timeout | undefined;
  /** Temporal has let go of the activity, without anybody having asked for its end. */
  private orphaned = false;
  private wokenAt = 0;
  private checking = false;

  constructor(
    private readonly clock: Clock,
    private readonly temporal: TemporalLink,
    private readonly shift: PoolShift,
    private readonly input: ShiftInput,
    heartbeatTimeoutMs: number,
  ) {
    this.until = Date.now() + input.durationMs;
    const { cancellationSignal } = this.context;
    cancellationSignal.addEventListener('abort', this.onCancelled, { once: true });
    if (cancellationSignal.aborted) this.onCancelled();
    shift.givenAway.watch(() => this.give());
    this.timer = setInterval(
      () => this.look(),
      Math.min(OUTAGE_CHECK_MS, heartbeatTimeoutMs / 5, Math.max(20, input.durationMs / 5)),
    );
  }

  stop(): void {
    clearInterval(this.timer);
    clearInterval(this.winding);
    this.shift.givenAway.watch(undefined);
    this.context.cancellationSignal.removeEventListener('abort', this.onCancelled);
  }

  private readonly onCancelled = (): void => {
    const details = this.context.cancellationDetails;
    const end = endAskedFor(details);
    if (end === 'handed back') return this.shift.end(end);
    if (end === 'asked') return this.windDown(end, ASKED_MS);
    // Core could not report heartbeats, or the server no longer knows the activity. The fence decides.
    this.orphaned = true;
    this.shift.log.warn({ details }, 'Temporal has let go of this shift; it keeps the pool until another one takes it');
  };

  private give(): void {
    const { how, withinMs } = this.shift.givenAway.to!;
    this.windDown(how, withinMs);
  }

  private look(): void {
    if (this.shift.isOver) return;
    this.checkStore();
    if (this.checking) return;
    this.checking = true;
    void this.checkTime().finally(() => (this.checking = false));
  }

  /** Ends when the runs that are under way have ended or timed out. */
  private windDown(how: 'elapsed' | 'asked' | 'moved' | 'handed back', mostMs: number): void {
    if (this.winding) return;
    const { shift, clock } = this;
    const longest = Math.max(0, ...Object.values(shift.options.operations).map(({ timeoutMs }) => timeoutMs));
    const down = new WindDown(shift, clock.now() + Math.min(mostMs, longest + MARGIN_MS));
    const step = () => {
      if (!shift.isOver && down.step(clock.now())) shift.end(how);
    };
    this.winding = setInterval(step, WIND_DOWN_STEP_MS);
    step();
  }

  /** Asks nobody, so that whoever does not answer cannot keep it from looking. */
  private checkStore(): void {
    const { shift } = this;
    const patienceMs = shift.options.patienceMs ?? DEFAULT_PATIENCE_MS;
    if (shift.refusedFor(performance.now()) <= patienceMs) return;
    shift.end(
      failure(ErrorType.StoreUnavailable, `nothing of this pool could be written for ${patienceMs} ms (patience)`),
    );
  }

  private async checkTime(): Promise<void> {
    const { temporal, input } = this;
    const nowMs = Date.now();
    if (this.orphaned) {
      if (nowMs - this.wokenAt < ORPHAN_WAKE_MS || !(await temporal.reachable())) return;
      this.wokenAt = nowMs;
      // A server that swallows must not be waited for, or there is no further look.
      const wake = () => temporal.wakePool(input.tracker, input.pool);
      await temporal.within(new AbortController().signal, WAKE_MS, wake).catch(() => undefined);
    } else if (nowMs >= this.until && (await temporal.reachable())) {
      this.windDown('elapsed', Infinity);
    }
  }
}
