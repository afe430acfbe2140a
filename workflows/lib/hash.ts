/**
 * The hash that spreads ids over pools, keys over shards and ends over time. Pure; its twin in SQL is
 * `longwatch.hash_of`.
 */

/**
 * 32 bits of an id, spread evenly: FNV-1a over UTF-16 code units, then the finalizer of MurmurHash3.
 * Stored with each member, so that PostgreSQL can compute pools too. Never change it: ids would move.
 */
export function hashId(id: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) {
    h ^= id.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}
