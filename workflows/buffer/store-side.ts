/**
 * A shard's own activities: to PostgreSQL and back, dead letters, reports. Each is under way once at most; what fails
 * is tried again by `nextShardStep`, after a question with nothing in its hands where PostgreSQL was away. Made and
 * called by `shard.ts`; what it changes is decided in `storing.ts` and `outcome.ts`.
 */
import { ActivityFailure, ApplicationFailure, log, proxyActivities, TimeoutFailure } from '@temporalio/workflow';
import { ErrorType, NON_RETRYABLE } from '../lib/errors';
import type { BufferActivities } from './activities';
import type { ShardStatus } from './contract';
import type { KeyIndex } from './keys';
import { revive } from './outcome';
import { save } from './reopen';
import type { LaneName, ShardState } from './state';
import {
  beginBury,
  beginStore,
  buried,
  fetched,
  fetchRows,
  keysForgotten,
  keysToForget,
  notStored,
  storeAnswered,
  stored,
  storeFailed,
  storeReached,
} from './storing';
import { causeOf } from '../lib/failed-activity';
import { errorMessage } from '../lib/text';

const once = { startToCloseTimeout: 30_000, retry: { maximumAttempts: 1 } } as const;
const { askStore } = proxyActivities<BufferActivities>(once);
const { storeChunks, fetchChunks, buryEntries, takeDead, reportShard } = proxyActivities<BufferActivities>({
  startToCloseTimeout: 30_000,
  // Tried again from here, with what is known by then.
  retry: { maximumAttempts: 2, initialInterval: 100, nonRetryableErrorTypes: [...NON_RETRYABLE] },
});

export class StoreSide {
  readonly busy = {
    storing: false,
    fetching: false,
    burying: false,
    reviving: false,
    reporting: false,
    asking: false,
  };

  constructor(
    private readonly state: ShardState,
    private readonly index: KeyIndex,
    private readonly where: { buffer: string; shard: number },
    private readonly on: {
      /** Something has changed. */
      happened: () => void;
      /** So many bytes go with this task. */
      spent: (bytes: number) => void;
    },
  ) {}

  /** Rows are named after it. */
  get prefix(): string {
    return `${this.where.buffer}.${this.where.shard}`;
  }

  /**
   * Orders the reports and stores of all runs and lives of the shard. A run that is reset has the clock of its new
   * tasks.
   */
  moment(): number {
    return (this.state.told = Math.max(Date.now(), (this.state.told ?? 0) + 1 / 1_024));
  }

  ask(): Promise<void> {
    return this.guarded('asking', () => askStore(), { done: () => storeReached(this.state) });
  }

  store(leaving: boolean): Promise<void> {
    const { state, index, where } = this;
    const storing = beginStore(state, index, leaving, this.prefix);
    this.on.spent(storing.bytes);
    const input = { ...where, rows: storing.rows, keyed: state.options.key !== null, moment: this.moment() };
    return this.guarded('storing', () => storeChunks(input), {
      done: (refused) => stored(state, storing, refused, Date.now()),
      failed: () => notStored(state, index, storing, this.prefix),
    });
  }

  fetch(lane: LaneName): Promise<void> {
    const { state, where } = this;
    const { from, to } = state[lane].stored;
    const input = { ...where, lane, from, to, dueMs: Date.now(), limit: fetchRows };
    return this.guarded('fetching', () => fetchChunks(input), {
      done: (found) => fetched(state, lane, found, to, Date.now()),
    });
  }

  bury(): Promise<void> {
    const { chunks, bytes } = beginBury(this.state);
    this.on.spent(bytes);
    return this.guarded('burying', () => buryEntries({ ...this.where, chunks }), {
      done: () => buried(this.state, chunks.length),
    });
  }

  reviveDead(): Promise<void> {
    const { state, index } = this;
    const order = state.deadOrders[0]!;
    const { op, action, page } = order;
    return this.guarded('reviving', () => takeDead({ ...this.where, op, action, page }), {
      done: (found) => {
        if (found.count === 0) state.deadOrders.shift();
        else revive(state, index, found, order);
        order.page++;
      },
    });
  }

  /** False: it was not taken; its time comes again. */
  async report(status: ShardStatus): Promise<boolean> {
    const { state, busy } = this;
    busy.reporting = true;
    const forget = state.forget.splice(0, 1_000);
    const forgetKeys = keysToForget(state);
    let taken = true;
    try {
      await reportShard({ status, moment: this.moment(), forget, forgetKeys });
      storeAnswered(state);
      keysForgotten(state, forgetKeys);
    } catch (error) {
      // Rows that stay are looked for by the patrol; the next report tells the rest.
      state.forget.push(...forget);
      storeFailed(state, Date.now(), isOutage(error));
      taken = false;
    }
    busy.reporting = false;
    return taken;
  }

  /** All that is known is kept. False: it was not. */
  async save(status: ShardStatus): Promise<boolean> {
    const { state, where } = this;
    try {
      await save(state, status, this.moment());
      return true;
    } catch (error) {
      state.lastError = errorText(error);
      storeFailed(state, Date.now(), isOutage(error));
      log.warn('The shard is stopped and could not be kept; trying again', { ...where, error });
      return false;
    }
  }

  private async guarded<T>(
    what: keyof StoreSide['busy'],
    act: () => Promise<T>,
    ends: { done: (result: T) => void; failed?: () => void },
  ): Promise<void> {
    const { state, busy, where } = this;
    busy[what] = true;
    try {
      const result = await act();
      busy[what] = false;
      if (what !== 'asking') storeAnswered(state);
      ends.done(result);
    } catch (error) {
      busy[what] = false;
      ends.failed?.();
      state.lastError = errorText(error);
      storeFailed(state, Date.now(), isOutage(error));
      log.warn(`The buffer's store failed while ${what}; trying again`, { ...where, error });
    }
    this.on.happened();
  }
}

/** Not that PostgreSQL refused something: nobody answered, or no worker is there to ask it. */
export function isOutage(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return !(cause instanceof ApplicationFailure) || cause.type === ErrorType.StoreUnavailable;
}

export function errorText(error: unknown): string {
  const cause = causeOf(error);
  if (cause instanceof TimeoutFailure && cause.timeoutType === 'HEARTBEAT') return 'its worker was lost';
  return errorMessage(cause);
}
