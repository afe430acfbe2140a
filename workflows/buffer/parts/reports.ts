/**
 * The part of a shard that tells what it holds: its node at once, without a trace in the history; PostgreSQL after a
 * rest; a person by the details of the workflow. Called by `shard.ts`; shown by `longwatch status` and the metrics.
 */
import { log, proxyActivities, proxySinks, setCurrentDetails } from '@temporalio/workflow';
import { RETRY_ONCE } from '../../lib/retry';
import type { BufferActivities } from '../activities';
import type { ShardSinks, ShardStatus } from '../contract';
import { keysForgotten, keysToForget } from '../key-notes';
import { storeAnswered, storeFailed } from '../outage';
import { pendingOf } from '../queue';
import { save } from '../reopen';
import { isSpilling, nextReportMoment, shardStatus } from '../status';
import { failureText, isOutage, type Part } from './part';
import { SHARD_TUNABLES } from '../tunables';

const { buffers: node } = proxySinks<ShardSinks>();
const { reportShard } = proxyActivities<BufferActivities>({
  startToCloseTimeout: SHARD_TUNABLES.storeMs,
  retry: RETRY_ONCE,
});

export class Reports {
  readonly moment = { untold: true, unreported: true, reporting: false, lastReportMs: Date.now() };

  constructor(private readonly part: Part) {}

  /** There is something to tell. */
  happened(): void {
    this.moment.untold = this.moment.unreported = true;
  }

  status(): ShardStatus {
    const { state, where } = this.part;
    return shardStatus(state, where.buffer, where.shard, Date.now());
  }

  /** A report that may be lost: another one follows. */
  tell(): void {
    this.moment.untold = false;
    const status = this.status();
    this.show(status);
    node.report({ status, moment: nextReportMoment(this.part.state, Date.now()) });
  }

  /** A report that PostgreSQL keeps. If it is not taken, its time comes again. */
  async report(): Promise<void> {
    const { moment } = this;
    moment.untold = moment.unreported = false;
    moment.lastReportMs = Date.now();
    const status = this.status();
    this.show(status);
    if (!(await this.store(status))) moment.unreported = true;
    this.part.wake();
  }

  /** False: PostgreSQL did not take it. */
  private async store(status: ShardStatus): Promise<boolean> {
    const { moment } = this;
    const { state } = this.part;
    moment.reporting = true;
    const forget = state.forget.splice(0, SHARD_TUNABLES.forgetRows);
    const forgetKeys = keysToForget(state);
    let taken = true;
    try {
      await reportShard({ status, moment: nextReportMoment(state, Date.now()), forget, forgetKeys });
      storeAnswered(state);
      keysForgotten(state, forgetKeys);
    } catch (error) {
      // The patrol looks for rows that stay; the next report tells the rest.
      state.forget.push(...forget);
      storeFailed(state, Date.now(), isOutage(error));
      taken = false;
    }
    moment.reporting = false;
    return taken;
  }

  /** The last report, with all that a stopped shard knows. False: it was not kept. */
  async save(status: ShardStatus): Promise<boolean> {
    const { state, where } = this.part;
    try {
      await save(state, status, nextReportMoment(state, Date.now()));
      return true;
    } catch (error) {
      state.lastError = failureText(error);
      storeFailed(state, Date.now(), isOutage(error));
      log.warn('The shard is stopped and could not be kept; trying again', { ...where, error });
      return false;
    }
  }

  /** It has ended: nothing of it is in memory. */
  ended(status: ShardStatus): void {
    node.size({ ...this.part.where, bytes: 0, shrunk: false, atMinimum: true });
    setCurrentDetails(describe(status));
  }

  /** Says once that the shard has come to its bound. */
  warnOfSpilling(): void {
    const { state, where } = this.part;
    const spilling = isSpilling(state);
    if (spilling && !state.spilling) {
      const { bound } = state.options;
      log.warn('The shard is at its bound; what comes goes to PostgreSQL', {
        ...where,
        bound,
        pending: pendingOf(state),
      });
    }
    state.spilling = spilling;
  }

  /** Shows the shard to its node and to a person. */
  private show(status: ShardStatus): void {
    const { bytes, shrunk, atMinimum } = status;
    node.size({ ...this.part.where, bytes, shrunk, atMinimum });
    setCurrentDetails(describe(status));
  }
}

function describe({ buffer, shard, accepted, done, pending, running, dead, lastError }: ShardStatus): string {
  return (
    `**${buffer}**, shard ${shard}: ${accepted} accepted, ${done} done, ${pending} pending, ${running} running, ${dead} dead` +
    (lastError === null ? '' : `\n\nlast error: ${lastError}`)
  );
}
