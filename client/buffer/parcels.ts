/**
 * The entries of a push as parcels, each for one shard and small enough for a message: by their key where the buffer
 * has one, else parcel after parcel to the next shard. Used by `push.ts`; next: `senders.ts` has them sent.
 */
import { errorOf } from '../../activities/lib/failures';
import { keyFunction, keyInJson, shardOfKey } from '../../activities/buffer/keys';
import type { AnyBuffer, BufferDefinition } from '../../config/define/buffer';
import { shardsOf } from '../../workflows/buffer/init';
import { keyAt as keyAtPath } from '../../workflows/buffer/keys';
import type { BufferOptions } from '../../workflows/buffer/options';
import { utf8Bytes } from '../../workflows/lib/size';
import { LAST_TIME } from '../../workflows/lib/time';
import { InvalidEntryError } from '../errors';
import { inexact, inexactNumber, unsayable } from '../exact';
import type { Json } from '../../workflows/lib/json';

/** One message at most. Bytes of JSON. */
export const MESSAGE_BYTES = 128 * 1024;
export const MESSAGE_ENTRIES = 2_000;
/** An entry of more is stored, and sent by reference. Bytes of JSON. */
const LARGE_BYTES = 64 * 1024;
/** A part of one push that goes to one shard: small enough for a message. */
export interface Parcel {
  entries: Json[];
  /** Bytes of JSON. */
  bytes: number;
  keys?: (string | null)[];
  front?: boolean;
  at?: number;
}

export class Packer {
  private turn = Math.floor(Math.random() * 1_000);

  /** @param definition gives the keys where the buffer's `key` is a function. */
  constructor(
    private readonly buffer: string,
    private readonly definition: AnyBuffer | undefined,
  ) {}

  /**
   * Parcels of one shard come in their order. A list is looked at as a whole before anything of it is given.
   * @throws InvalidEntryError at an entry that is not JSON, has a number that would be another one, or whose key cannot
   *   be found; of an iterable, parcels before it were given
   */
  async *pack(
    entries: Iterable<unknown> | AsyncIterable<unknown>,
    options: BufferOptions,
    { front, at }: { front?: boolean; at?: number | Date },
  ): AsyncGenerator<{ shard: number; parcel: Parcel }> {
    const keyOf = this.keys(options);
    const shards = shardsOf(options);
    const how = { ...(front ? { front } : {}), ...(at === undefined ? {} : { at: timeOf(at) }) };
    const open = new Map<number, Parcel>();
    const close = (shard: number, parcel: Parcel) => {
      open.delete(shard);
      this.turn++;
      return { shard, parcel };
    };
    const look = (entry: unknown, at: number) => ({ bytes: jsonOf(entry, at).bytes, key: keyAt(keyOf, entry, at) });
    const looked = Array.isArray(entries) ? entries.map((entry, i) => look(entry, i + 1)) : undefined;
    let position = 0;
    for await (const entry of entries as AsyncIterable<Json>) {
      position++;
      const { bytes, key } = looked?.[position - 1] ?? look(entry, position);
      const shard = key === null ? this.turn % shards : shardOfKey(key, shards);
      let parcel = open.get(shard);
      const full = parcel && (parcel.entries.length >= MESSAGE_ENTRIES || parcel.bytes + bytes > MESSAGE_BYTES);
      if (parcel && (full || bytes > LARGE_BYTES)) {
        yield close(shard, parcel);
        parcel = undefined;
      }
      if (bytes > LARGE_BYTES) {
        // Past a message's size, so that its sender stores it.
        const stored = {
          entries: [entry],
          bytes: Math.max(bytes, MESSAGE_BYTES + 1),
          ...(keyOf ? { keys: [key] } : {}),
          ...how,
        };
        yield close(shard, stored);
        continue;
      }
      if (!parcel) open.set(shard, (parcel = { entries: [], bytes: 2, ...(keyOf ? { keys: [] } : {}), ...how }));
      parcel.entries.push(entry);
      parcel.keys?.push(key);
      parcel.bytes += bytes + 1;
    }
    for (const [shard, parcel] of open) yield close(shard, parcel);
  }

  private keys({ key }: BufferOptions): ((entry: Json) => string | null) | undefined {
    if (key === null) return undefined;
    if (key !== 'function') return keyAtPath(key.path);
    const definition = this.definition as BufferDefinition<never, never> | undefined;
    if (definition?.key === undefined) {
      throw new InvalidEntryError(
        `the key of buffer '${this.buffer}' is a function of its definition: push with longwatch.buffer(definition), ` +
          'from the folder of its config, or by a dashboard that was given it (longwatch dashboard --config FILE)',
      );
    }
    return keyFunction(definition);
  }
}

function jsonOf(entry: unknown, position: number): { json: string; bytes: number } {
  let json: string | undefined;
  try {
    json = JSON.stringify(entry);
  } catch (error) {
    throw new InvalidEntryError(`entry ${position} cannot be JSON: ${(error as Error).message}`);
  }
  if (json === undefined)
    throw new InvalidEntryError(`entry ${position} is not JSON (a function or \`undefined\`); it was not sent`);
  const number = inexactNumber(json);
  if (number !== undefined) throw new InvalidEntryError(`entry ${position}: ${inexact(number)}`);
  const no = unsayable(entry, json);
  if (no !== undefined) throw new InvalidEntryError(`entry ${position}: ${no} is not JSON, it would be null`);
  return { json, bytes: utf8Bytes(json) };
}

/** The definition's `key` is the user's code. */
function keyAt(keyOf: ((entry: Json) => string | null) | undefined, entry: unknown, position: number): string | null {
  try {
    return keyOf ? keyInJson(keyOf, entry as Json) : null;
  } catch (thrown) {
    throw new InvalidEntryError(`entry ${position}: its key cannot be found: ${errorOf(thrown).message}`);
  }
}

function timeOf(at: number | Date): number {
  const time = Number(at);
  if (time >= 0 && time <= LAST_TIME) return time;
  throw new InvalidEntryError('`at` must be a time: epoch milliseconds or a Date that is one');
}

/** To the same place, in the same way. */
export function alike(one: Parcel, other: Parcel): boolean {
  return one.front === other.front && one.at === other.at && !one.keys === !other.keys;
}

/** Parcels that are alike as one; the order stays. */
export function joined(group: readonly Parcel[]): Parcel {
  const [first] = group as [Parcel];
  if (group.length === 1) return first;
  return {
    entries: group.flatMap(({ entries }) => entries),
    bytes: group.reduce((sum, { bytes }) => sum + bytes, 0),
    ...(first.keys ? { keys: group.flatMap(({ keys }) => keys!) } : {}),
    ...(first.front ? { front: true } : {}),
    ...(first.at === undefined ? {} : { at: first.at }),
  };
}
