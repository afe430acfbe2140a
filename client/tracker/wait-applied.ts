/**
 * Waits until changes of the roster are in the database, for `add` and `remove` with `wait`: at each announcement, and
 * now and then without one. Called by `roster.ts`.
 */
import type { Connections } from '../connections';
import { NoWorkerError, TimedOutError } from '../errors';
import type { RosterBatch } from './ids';
import { COUNT_APPLIED } from './queries';
import { NOTIFY_CHANNEL } from '../../workflows/lib/contract';
import { sleep } from '../../activities/lib/sleep';

/** Look this often even when no announcement comes, milliseconds. */
const LOOK_MS = 250;
/** All that is not applied yet is looked at this often; the shortest `tombstones` are a minute. Milliseconds. */
const SWEEP_MS = 15_000;

export interface WaitOptions {
  /** Give up when nothing more was applied for this long, milliseconds. @default 60,000 */
  waitTimeoutMs?: number;
  onProgress?: (progress: { step: 'applied'; ids: number; total: number }) => void;
}

/** @throws NoWorkerError, TimedOutError when nothing more is applied; what was sent stays accepted. */
export async function waitApplied(
  connections: Pick<Connections, 'rows' | 'listen' | 'workersPoll'>,
  tracker: string,
  batches: readonly RosterBatch[],
  stamp: number,
  options: WaitOptions,
  sweepMs = SWEEP_MS,
): Promise<void> {
  const total = batches.reduce((sum, { ids }) => sum + ids.length, 0);
  const limit = options.waitTimeoutMs ?? 60_000;
  let deadline = Date.now() + limit;
  let sweepAt = Date.now() + sweepMs;
  let wake: () => void = () => undefined;
  let applied = 0;
  const open = new Set(batches);

  const look = async (batch: RosterBatch): Promise<boolean> => {
    const [row] = await connections.rows<{ applied: number }>(COUNT_APPLIED, [tracker, batch.ids, stamp]);
    if (row!.applied < batch.ids.length) return false;
    open.delete(batch);
    applied += batch.ids.length;
    deadline = Date.now() + limit;
    options.onProgress?.({ step: 'applied', ids: applied, total });
    return true;
  };

  const stopListening = await connections.listen(NOTIFY_CHANNEL, () => wake());
  try {
    while (open.size > 0) {
      // Armed before looking, so that an announcement in between is not missed.
      const announced = new Promise<void>((resolve) => (wake = resolve));
      if (Date.now() >= sweepAt) {
        for (const batch of [...open]) await look(batch);
        sweepAt = Date.now() + sweepMs;
        continue;
      }
      if (await look(open.values().next().value!)) continue;
      if (Date.now() > deadline) await giveUp(connections, tracker, { applied, total, limit });
      await Promise.race([announced, sleep(Math.min(LOOK_MS, sweepMs))]);
    }
  } finally {
    await stopListening();
  }
}

async function giveUp(
  connections: Pick<Connections, 'workersPoll'>,
  tracker: string,
  { applied, total, limit }: { applied: number; total: number; limit: number },
): Promise<never> {
  const time = `${Math.round(limit / 1000)} s`;
  const what =
    total === 1
      ? `the id is accepted, and not applied within ${time}`
      : `all ${total} ids are accepted, ${applied} of them applied, and no more for ${time}`;
  const polled = await connections.workersPoll().catch(() => true);
  if (!polled) throw new NoWorkerError(what, ' (what is accepted is kept until then)');
  throw new TimedOutError(`${what}; the rest follows by itself, see: npx longwatch pools ${tracker}`);
}
