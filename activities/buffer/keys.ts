/** What makes an entry the same as another, and which shard it belongs to. Used by the activities and by senders (`client/push.ts`). */
import type { BufferDefinition } from '../../workers/config/buffer';
import type { Json } from '../../workflows/buffer/contract';
import { keyAt, keyText } from '../../workflows/buffer/keys';
import { hashId } from '../../workflows/tracker/plan';

/** The definition's `key` as a function, or undefined where it has none. */
export function keyFunction({
  key,
}: Pick<BufferDefinition<never, never>, 'key'>): ((entry: Json) => string | null) | undefined {
  if (key === undefined) return undefined;
  if (typeof key === 'string') return keyAt(key);
  return (entry) => keyText(key(entry as never));
}

export const shardOfKey = (key: string, shards: number): number => hashId(key) % shards;
