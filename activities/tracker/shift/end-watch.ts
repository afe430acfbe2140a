/**
 * Watches for all that can end a shift, and turns it into `shift.end(…)`: its time, its workflow, another node that has
 * the pool next, the node's shutdown, a database that refuses its results. Made by `keep.ts` for each shift.
 *
 * A shift that could go on ends only when all it has is written. If PostgreSQL does not answer just then, the end is
 * called off and the shift keeps its pool, as all others of its node do: nobody else could take it over with less.
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
import { isDoneWithin } from '../../lib/sleep';
import type { PoolShift } from './pool-shift';
import { WindDown } from './wind-down';
import type { Writer } from './writer';

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
/** The pool stands still while its last results are written: so long at most, twice as long each time. Milliseconds. */
const WRITTEN_WITHIN_MS = 1_000;
const WRITTEN_AT_MOST_MS = 16_000;
/** A run that has timed out, or whose thread has not begun, is given up within this. Milliseconds. */
const MARGIN_MS = 61_000;

type WoundDown = 'elapsed' | 'asked' | 'moved' | 'handed back';

/** An end that is under way. */
interface Winding {
  how: WoundDown;
  mostMs: number;
  readonly down: WindDown;
  /** undefined: its runs have ended, and what they came to is being written. */
  timer: NodeJS.Timeout | undefined;
}

export class EndWatch {
  private readonly context = Context.current();
  private readonly until: number;
  private readonly timer: NodeJS.Timeout;
  private winding: Winding | undefined;
  /** An end that was called off. */
  private later: { how: WoundDown; mostMs: number; triedAt: number } | undefined;
  private writtenWithinMs = WRITTEN_WITHIN_MS;
  /** Temporal has let go of the activity, without anybody having asked for its end. */
  private orphaned = false;
  private wokenAt = 0;
  private checking = false;

  constructor(
    private readonly clock: Clock,
    private readonly temporal: TemporalLink,
    private readonly writer: Pick<Writer, 'flush'>,
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
    clearInterval(this.winding?.timer);
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
    const { later, shift } = this;
    // Only a flush that has come through since says that PostgreSQL is there again.
    if (later && shift.checkedAt > later.triedAt) {
      this.later = undefined;
      this.windDown(later.how, later.mostMs);
    }
    if (this.checking) return;
    this.checking = true;
    void this.checkTime().finally(() => (this.checking = false));
  }

  /** Ends when the runs that are under way have ended or timed out. */
  private windDown(how: WoundDown, mostMs: number): void {
    if (this.winding) return this.hurry(this.winding, how, mostMs);
    // A node that ends waits for nothing that was called off.
    if (this.later && how !== 'handed back') return;
    this.later = undefined;
    const { shift, clock } = this;
    const longest = Math.max(0, ...Object.values(shift.options.operations).map(({ timeoutMs }) => timeoutMs));
    const down = new WindDown(shift, clock.now() + Math.min(mostMs, longest + MARGIN_MS));
    const winding: Winding = { how, mostMs, down, timer: undefined };
    const step = () => {
      if (shift.isOver || !down.step(clock.now())) return;
      clearInterval(winding.timer);
      winding.timer = undefined;
      // A node that ends cannot go on.
      if (winding.how === 'handed back') shift.end(winding.how);
      else void this.endWritten(winding);
    };
    this.winding = winding;
    winding.timer = setInterval(step, WIND_DOWN_STEP_MS);
    step();
  }

  /** It ends already, and somebody waits for it who has less time: a full history, a node that ends. */
  private hurry(winding: Winding, how: WoundDown, mostMs: number): void {
    winding.mostMs = Math.min(winding.mostMs, mostMs);
    winding.down.atMost(this.clock.now() + mostMs);
    if (how !== 'handed back') return;
    winding.how = how;
    if (!winding.timer) this.shift.end(how);
  }

  /** Never rejects. */
  private async endWritten({ down, how, mostMs }: Winding): Promise<void> {
    const { shift, clock, writer } = this;
    const triedAt = performance.now();
    shift.standStill(true, clock.now());
    // Also where it has nothing: the fence and the store are asked.
    shift.hinted = true;
    await isDoneWithin(this.writtenWithinMs, writer.flush());
    if (shift.isOver) return;
    if (shift.checkedAt >= triedAt) return shift.end(how);
    shift.log.warn({ how }, 'PostgreSQL has not taken the last results of this shift; it keeps its pool until it does');
    this.writtenWithinMs = Math.min(2 * this.writtenWithinMs, WRITTEN_AT_MOST_MS);
    this.winding = undefined;
    this.later = { how, mostMs, triedAt };
    down.callOff(clock.now());
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
