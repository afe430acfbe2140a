/**
 * One push: its entries as parcels (`parcels.ts`), each to its shard (`senders.ts`), some of them under way at once,
 * and how many were accepted. Called by `handle.ts`.
 */
import { errorOf } from '../../activities/lib/failures';
import { shardsOf } from '../../workflows/buffer/init';
import type { BufferOptions } from '../../workflows/buffer/options';
import { InvalidEntryError } from '../errors';
import type { Packer } from './parcels';
import type { BufferSenders } from './senders';
import type { PushWay } from './shard-sender';

/** Parcels of one push under way at once: a stream of a million entries must not be in memory twice. */
const PARCELS_AHEAD = 64;
/** Past it, Node's timers take no time at all. Milliseconds; a parcel's own timer is a little longer. */
const LONGEST_MS = 24 * 86_400_000;

export interface PushOptions {
  /** Before everything that was not pushed so. Always admitted. */
  front?: boolean;
  /** Not before this time, epoch milliseconds or Date. */
  at?: number | Date;
  /**
   * Wait for the shard's own word that it has accepted them, as an update. Without it, Temporal has them, durably.
   * @default false
   */
  wait?: boolean;
  /**
   * How long to wait for room, or for a server or worker that is away, milliseconds; Infinity is 24 days.
   * @default 5,000
   */
  timeoutMs?: number;
  /** Called as entries are accepted. */
  onProgress?: (progress: { entries: number; total: number | undefined }) => void;
}

export interface PushResult {
  /** All of them: what is not accepted is an error. */
  accepted: number;
  messages: number;
}

/**
 * Resolves when every entry is accepted.
 * @throws InvalidEntryError for a `timeoutMs` that cannot be; with `acceptedSoFar`, the first failure, after what was
 *   under way has ended
 */
export async function pushEntries(
  packer: Packer,
  senders: BufferSenders,
  entries: Iterable<unknown> | AsyncIterable<unknown>,
  settings: BufferOptions,
  options: PushOptions,
): Promise<PushResult> {
  const timeoutMs = timeoutOf(options);
  const total = Array.isArray(entries) ? entries.length : undefined;
  const underWay = new Set<Promise<void>>();
  const result: PushResult = { accepted: 0, messages: 0 };
  let failure: { error: unknown } | undefined;
  let how: PushWay = options.wait ? 'update' : 'signal';
  try {
    for await (const { shard, parcel } of packer.pack(entries, settings, options)) {
      if (failure) break;
      const roomKnown = options.front || (await senders.room(settings, timeoutMs));
      const next: PushWay = options.wait || !roomKnown ? 'update' : 'signal';
      // Parcels that go the other way are in before, so that the order stays.
      if (next !== how) await Promise.all(underWay);
      how = next;
      const sent = senders
        .send(shard, how, parcel, Date.now() + timeoutMs, shardsOf(settings))
        .then(() => {
          result.accepted += parcel.entries.length;
          result.messages++;
          options.onProgress?.({ entries: result.accepted, total });
        })
        .catch((error: unknown) => void (failure ??= { error }))
        .finally(() => underWay.delete(sent));
      underWay.add(sent);
      if (underWay.size >= PARCELS_AHEAD) await Promise.race(underWay);
    }
  } catch (error) {
    // The packer failed, or there is no room: parcels that were sent before are accepted all the same.
    failure ??= { error };
  }
  await Promise.all(underWay);
  // It may be what the caller's own iterable has thrown, whatever that is.
  if (failure) throw Object.assign(errorOf(failure.error), { acceptedSoFar: result.accepted });
  return result;
}

function timeoutOf({ timeoutMs = 5_000 }: PushOptions): number {
  if (typeof timeoutMs === 'number' && timeoutMs >= 0) return Math.min(timeoutMs, LONGEST_MS);
  throw new InvalidEntryError(`timeoutMs must be milliseconds from 0 on, not '${String(timeoutMs)}'; nothing was sent`);
}
