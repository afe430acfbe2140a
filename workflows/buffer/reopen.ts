/**
 * How a shard ends when its buffer is stopped, and goes on at the next start: all that it knows becomes a row, in one
 * transaction with its last report. The entries themselves lie in PostgreSQL by then (`plan.ts` stores them first).
 * Called by `shard.ts`.
 */
import { proxyActivities, setHandler } from '@temporalio/workflow';
import { pushUpdate, type ShardStatus } from './contract';
import type { BufferActivities } from './activities';
import type { ShardInput, ShardState } from './state';
import { RETRY } from '../lib/retry';
import { SHARD_TUNABLES } from './tunables';

const { openShard } = proxyActivities<BufferActivities>({ startToCloseTimeout: SHARD_TUNABLES.storeMs, retry: RETRY });
const { saveShard } = proxyActivities<BufferActivities>({
  startToCloseTimeout: SHARD_TUNABLES.storeMs,
  // Tried again from `shard.ts`, with what has come by then.
  retry: { ...RETRY, maximumAttempts: 2 },
});

/**
 * The saved state, under the present settings; undefined: nothing was saved. Signals that come meanwhile wait for their
 * handlers.
 */
export async function reopened({ buffer, shard, orders: settings }: ShardInput): Promise<ShardState | undefined> {
  setHandler(pushUpdate, () => ({ accepted: false, waitMs: SHARD_TUNABLES.openingMs }));
  const saved = await openShard({ buffer, shard });
  if (!saved || !settings) return saved ?? undefined;
  const { options, paused, version } = settings;
  // It was read from PostgreSQL, which is there.
  delete saved.outage;
  return { ...saved, options, optionsVersion: version, paused, stopped: false };
}

/** Keeps the state as it is now. @throws when PostgreSQL did not take it. */
export async function save(state: ShardState, status: ShardStatus, moment: number): Promise<void> {
  const forget = state.forget.splice(0);
  try {
    const kept: ShardState = { ...state, shrunk: false, runs: state.runs + 1 };
    await saveShard({ status, moment, forget, state: kept });
  } catch (error) {
    state.forget.push(...forget);
    throw error;
  }
}
