/**
 * Tells which entries are the same one, and which shard an entry belongs to. Used by the activities and by senders
 * (`client/buffer/parcels.ts`). The definition's `key` is the user's code: it may throw whatever it likes.
 */
import type { BufferDefinition } from '../../config/define/buffer';
import { keyAt, keyText } from '../../workflows/buffer/keys';
import { errorOf } from '../lib/failures';
import { hashId } from '../../workflows/lib/hash';
import type { Json } from '../../workflows/lib/json';

type Keyed = Pick<BufferDefinition<never, never>, 'key'>;

/** The definition's `key` as a function, or undefined where it has none. */
export function keyFunction({ key }: Keyed): ((entry: Json) => string | null) | undefined {
  if (key === undefined) return undefined;
  if (typeof key === 'string') return keyAt(key);
  return (entry) => keyText(key(entry as never));
}

/** The key of an entry as JSON says it (of a Date, an id with a `toJSON`): the shard would read it so. */
export function keyInJson(keyOf: (entry: Json) => string | null, entry: Json): string | null {
  const key = keyOf(entry);
  if (key !== null || typeof entry !== 'object' || entry === null) return key;
  return keyOf(JSON.parse(JSON.stringify(entry)) as Json);
}

/**
 * Keys of entries that cannot be refused any more, since work has been done for them or is to be: one whose key cannot
 * be found goes on without.
 */
export class Keys {
  private readonly failures = new Map<Json, Error>();
  /** Undefined where the buffer has no `key`. */
  readonly of: ((entry: Json) => string | null) | undefined;

  constructor(definition: Keyed) {
    const keyOf = keyFunction(definition);
    this.of = keyOf && ((entry) => this.read(keyOf, entry));
  }

  /** The entries, of those given, whose key could not be found, each once, and the first error. */
  failed(entries: readonly Json[] = [...this.failures.keys()]): { count: number; error: Error } | undefined {
    const errors = entries.flatMap((entry) => this.failures.get(entry) ?? []);
    return errors.length === 0 ? undefined : { count: errors.length, error: errors[0]! };
  }

  private read(keyOf: (entry: Json) => string | null, entry: Json): string | null {
    try {
      return keyOf(entry);
    } catch (thrown) {
      if (!this.failures.has(entry)) this.failures.set(entry, errorOf(thrown));
      return null;
    }
  }
}

export const shardOfKey = (key: string, shards: number): number => hashId(key) % shards;
