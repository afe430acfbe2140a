/**
 * When an operation of one pool stands still, and why. Looked at by `operation.ts` before each run and at every change;
 * what a standstill held up is spread by the agenda when it ends.
 */
import type { Operation, OperationShift } from './host';

/** One that gives way to another operation looks this often whether that one still lags. Milliseconds. */
const YIELD_LOOK_MS = 100;

/**
 * Why an operation stands still; 'lag': it gives way to another one (`skipWhile`); 'over': its shift starts nothing
 * more.
 */
export type Frozen = 'disabled' | 'paused' | 'gate' | 'hold' | 'lag' | 'over';

export class Standing {
  frozen: Frozen | undefined;
  private over = false;
  /** When it last found that it must give way. */
  private yieldedAt = 0;

  constructor(
    private readonly loop: Pick<Operation, 'definition' | 'options' | 'agenda' | 'counts' | 'beganAt'>,
    private readonly shift: Pick<OperationShift, 'closed' | 'loop'>,
    /** Until when the upstream asked to be left alone, or 0. */
    readonly heldUntil: () => number,
    now: number,
  ) {
    this.frozen = this.frozenNow(now);
  }

  /** Starts nothing more, or goes on. */
  stop(stopped = true): void {
    this.over = stopped;
  }

  get isStopped(): boolean {
    return this.over;
  }

  /** When the loop must look again although nothing happens; Infinity: never. */
  get wakeAt(): number {
    if (this.frozen === undefined) return this.loop.agenda.nextDue;
    if (this.frozen === 'lag') return this.yieldedAt + YIELD_LOOK_MS;
    return this.frozen === 'hold' ? this.heldUntil() : Infinity;
  }

  /** Looks whether it may run. */
  look(now: number): void {
    const { agenda, counts, beganAt } = this.loop;
    const before = this.frozen;
    const frozen = this.frozenNow(now);
    this.frozen = frozen;
    if (before === 'lag') counts.skippedLag += agenda.passedOver(this.yieldedAt, now);
    if (frozen === 'lag') {
      if (before !== 'lag') counts.skippedLag += agenda.passedOver(-Infinity, now);
      this.yieldedAt = now;
    }
    if (before === 'disabled' && frozen !== 'disabled') agenda.restart(now, beganAt ?? now);
    else if (before !== undefined && frozen === undefined) agenda.resume(now);
  }

  private frozenNow(now: number): Frozen | undefined {
    const { options, definition } = this.loop;
    const closed = this.over ? 'over' : this.shift.closed();
    if (closed === 'over') return 'over';
    if (!options.enabled) return 'disabled';
    if (closed === 'paused') return 'paused';
    if (closed === 'gate' && options.gated && !definition.whenClosed) return 'gate';
    if (this.heldUntil() > now) return 'hold';
    return this.mustYield(now) ? 'lag' : undefined;
  }

  private mustYield(now: number): boolean {
    const { skipWhile } = this.loop.options;
    if (!skipWhile) return false;
    const other = this.shift.loop(skipWhile.operation);
    return other !== undefined && other.frozenBy === undefined && other.lag(now) > skipWhile.slowerThanMs;
  }
}
