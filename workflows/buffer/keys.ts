/**
 * Keys of entries: how one is read and made keepable, and how the newer entry of a key wins, whatever overlaps. An
 * entry of a key has one place at most among those pending in memory; one that runs is known by its key, so that it
 * does not come back once a newer one has come. For entries in PostgreSQL the batches look there
 * (`activities/buffer/batch.ts`). Called by `intake.ts`, `next-batch.ts`, `settle.ts` and `bridge.ts`; senders, pages
 * of `init` and feeds read keys by {@link keyText} as well.
 */
import { sha256 } from '../lib/sha256';
import { jsonBytes, utf8Bytes } from '../lib/size';
import type { Chunk, LaneName, ShardState } from './state';
import { checksKeys, isPlain, LANES, pieceOf } from './queue';
import type { Json } from '../lib/json';
import { SHARD_TUNABLES } from './tunables';

// ── What a key is ────────────────────────────────────────────────────────────────────────────

const HASHED = /^sha256:[0-9a-f]{64}$/;
/** NUL, and halves of surrogate pairs: no database keeps them as text. */
const UNKEEPABLE = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
/** The text that a number of that form is written as. */
const NUMBER = /^-?\d|^-?Infinity$|^NaN$/;

/**
 * A key as text: what a number and a text, or two texts, say is never the same text. Null where it is none: it is
 * neither, or a number that may stand for its neighbours, past what numbers hold exactly.
 */
export function keyText(value: unknown): string | null {
  if (typeof value === 'number') {
    return Number.isFinite(value) && !(Number.isInteger(value) && !Number.isSafeInteger(value)) ? String(value) : null;
  }
  if (typeof value !== 'string') return null;
  const looksLike = value.startsWith('"') || (NUMBER.test(value) && String(Number(value)) === value);
  return keepableKey(looksLike ? `"${value}"` : value);
}

/** A key of any length with any character, as one that every store keeps. One that was made so stays as it is. */
export function keepableKey(key: string): string {
  if (HASHED.test(key)) return key;
  if (UNKEEPABLE.test(key)) return `sha256:${sha256(jsonOf(key))}`;
  return key.length > SHARD_TUNABLES.keyBytes || utf8Bytes(key) > SHARD_TUNABLES.keyBytes
    ? `sha256:${sha256(key)}`
    : key;
}

/** Escaped, for two odd characters must not become the same one. */
const jsonOf = (key: string): string => JSON.stringify(key);

/** Reads what lies at a path such as `block.hash`, as a key. */
export function keyAt(path: string): (entry: Json) => string | null {
  const names = path.split('.');
  return (entry) => {
    let at: unknown = entry;
    for (const name of names) {
      if (typeof at !== 'object' || at === null || !Object.prototype.hasOwnProperty.call(at, name)) return null;
      at = (at as Record<string, unknown>)[name];
    }
    return keyText(at);
  };
}

// ── Where the entry of a key is ──────────────────────────────────────────────────────────────

/** The keys of the entries in memory. Made anew by each run from its state, when nothing runs. */
export interface KeyIndex {
  /** The number of the pending entry of each key. */
  pending: Map<string, number>;
  /** How many entries of the key run, and the age of the newest one that has come. */
  running: Map<string, { count: number; newest: number }>;
}

export const ageOf = (chunk: Chunk, i: number): number => chunk.ages?.[i] ?? chunk.first + i;

/** Entries that it finds twice of a key become one, and keys of a version before this are made keepable. */
export function indexKeys(state: ShardState): KeyIndex {
  const index: KeyIndex = { pending: new Map(), running: new Map() };
  for (const name of LANES) {
    const lane = state[name];
    for (const chunk of [...lane.chunks, ...lane.overflow]) {
      if (chunk.keys) chunk.keys = chunk.keys.map((key) => (key === null ? null : keepableKey(key)));
    }
    const all = lane.chunks;
    lane.chunks = [];
    for (const chunk of all) {
      const rest = chunk.storing ? [chunk] : survivors(state, index, chunk);
      lane.chunks.push(...rest);
      for (const one of rest) if (!one.storing) noteKeys(index, one);
    }
  }
  return index;
}

/** They are pending in memory now. */
export function noteKeys(index: KeyIndex, chunk: Chunk): void {
  if (!chunk.entries) return;
  chunk.keys?.forEach((key, i) => {
    if (key !== null) index.pending.set(key, chunk.first + i);
  });
}

/** Entries that leave the memory: a newer one of their key will not find them there. */
export function dropKeys(index: KeyIndex, chunk: Chunk): void {
  chunk.keys?.forEach((key, i) => {
    if (key !== null && index.pending.get(key) === chunk.first + i) index.pending.delete(key);
  });
}

/** They run now. */
export function keysRun(index: KeyIndex, chunk: Chunk): void {
  if (!chunk.entries) return;
  dropKeys(index, chunk);
  chunk.keys?.forEach((key, i) => {
    if (key === null) return;
    const age = ageOf(chunk, i);
    const known = index.running.get(key);
    if (!known) {
      index.running.set(key, { count: 1, newest: age });
      return;
    }
    known.count++;
    known.newest = Math.max(known.newest, age);
  });
}

/** They run no more. @returns the numbers of those of which a newer one has come meanwhile */
export function keysRan(index: KeyIndex, chunks: readonly Chunk[]): Set<number> {
  const passed = new Set<number>();
  for (const chunk of chunks) {
    if (!chunk.entries) continue;
    chunk.keys?.forEach((key, i) => {
      const known = key === null ? undefined : index.running.get(key);
      if (!known) return;
      if (known.newest > ageOf(chunk, i)) passed.add(chunk.first + i);
      if (--known.count === 0) index.running.delete(key!);
    });
  }
  return passed;
}

// ── The newer one wins ───────────────────────────────────────────────────────────────────────

/**
 * New entries without those that others make superfluous. If an older one of the key is pending in memory, in the
 * same lane and with nothing behind it, the new one takes its place; else the older one goes, and the new one waits its
 * own turn.
 * @param options with `foundAgain`, `init` has found what is not done yet: what is pending of it stays as it is, put
 *   off or not
 */
export function mergeKeys(
  state: ShardState,
  index: KeyIndex,
  lane: LaneName,
  chunk: Chunk,
  { foundAgain = false }: { foundAgain?: boolean } = {},
): Chunk {
  const entries: Json[] = [];
  const keys: (string | null)[] = [];
  const ages: number[] = [];
  const own = new Map<string, number>();
  let changed = false;
  chunk.keys!.forEach((key, i) => {
    const value = chunk.entries![i]!;
    const number = chunk.first + entries.length;
    const age = chunk.ages?.[i] ?? number;
    const twin = key === null ? undefined : own.get(key);
    if (twin !== undefined) {
      // The later of two that came together is newer, dead letters have their ages.
      if (!chunk.ages || age >= ages[twin]!) entries[twin] = value;
      if (chunk.ages) ages[twin] = Math.max(age, ages[twin]!);
      changed = true;
      state.counts.merged++;
      return;
    }
    const fate =
      key === null ? 'comes' : met(state, index, lane, key, { value, number, age, plain: isPlain(chunk), foundAgain });
    if (fate === 'merged') {
      changed = true;
      state.counts.merged++;
      return;
    }
    if (key !== null) own.set(key, entries.length);
    entries.push(value);
    keys.push(key);
    ages.push(age);
  });
  if (!changed) return chunk;
  // Numbers stay one apart: what was merged gives the last ones back, which nobody will have.
  const bytes = jsonBytes(entries);
  return { ...chunk, count: entries.length, bytes, entries, keys, ...(chunk.ages ? { ages } : {}) };
}

/** A new entry meets those of its key that are pending or run here. */
function met(
  state: ShardState,
  index: KeyIndex,
  lane: LaneName,
  key: string,
  {
    value,
    number,
    age,
    plain,
    foundAgain,
  }: { value: Json; number: number; age: number; plain: boolean; foundAgain: boolean },
): 'comes' | 'merged' {
  if (isPassed(state, index, key, age)) return 'merged';
  const running = index.running.get(key);
  const pending = index.pending.get(key);
  const found = pending === undefined ? undefined : find(state, pending);
  // Its number would be that of the older one, which others that lie in PostgreSQL may have passed.
  const takesPlace = plain && found?.lane === lane && isPlain(found.chunk) && !checksKeys(state);
  if (found && (takesPlace || foundAgain)) {
    const { chunk, i } = found;
    chunk.bytes += jsonBytes(value) - jsonBytes(chunk.entries![i]);
    chunk.entries![i] = value;
    return 'merged';
  }
  if (found) {
    remove(state, found);
    index.pending.delete(key);
    state.counts.merged++;
  }
  if (running) running.newest = Math.max(age, number, running.newest);
  return 'comes';
}

/** Whether a newer entry of the key is pending in memory, or runs. */
export function isPassed(state: ShardState, index: KeyIndex, key: string | null, age: number): boolean {
  if (key === null) return false;
  if ((index.running.get(key)?.newest ?? 0) > age) return true;
  const pending = index.pending.get(key);
  const found = pending === undefined ? undefined : find(state, pending);
  return found !== undefined && ageOf(found.chunk, found.i) > age;
}

interface Found {
  lane: LaneName;
  at: number;
  chunk: Chunk;
  i: number;
}

/** Finds the pending entry of that number. */
function find(state: ShardState, number: number): Found | undefined {
  for (const lane of LANES) {
    const { chunks } = state[lane];
    for (const [at, chunk] of chunks.entries()) {
      const i = number - chunk.first;
      if (i >= 0 && i < chunk.count && chunk.entries && !chunk.storing) return { lane, at, chunk, i };
    }
  }
  return undefined;
}

function remove(state: ShardState, { lane, at, chunk, i }: Found): void {
  const before = i > 0 ? [pieceOf(chunk, 0, i)] : [];
  const after = i + 1 < chunk.count ? [pieceOf(chunk, i + 1, chunk.count - i - 1)] : [];
  state[lane].chunks.splice(at, 1, ...before, ...after);
}

/**
 * The entries that come back to memory, without those of which a newer one is there or has come meanwhile; an older one
 * that is there goes. Numbers within a run follow one another.
 * @param passed numbers that a newer one of their key has passed
 */
export function survivors(state: ShardState, index: KeyIndex, chunk: Chunk, passed?: ReadonlySet<number>): Chunk[] {
  const { keys } = chunk;
  if (!keys || !chunk.entries) return [chunk];
  const stale = (i: number): boolean => {
    const key = keys[i]!;
    if (key === null) return false;
    if (passed?.has(chunk.first + i)) return true;
    const pending = index.pending.get(key);
    if (pending === undefined || pending === chunk.first + i) return false;
    const found = find(state, pending);
    if (!found) return false;
    if (ageOf(found.chunk, found.i) > ageOf(chunk, i)) return true;
    remove(state, found);
    index.pending.delete(key);
    state.counts.merged++;
    return false;
  };
  return without(state, chunk, stale);
}

/** The runs that are left of a chunk where some of its entries are merged; numbers within a run follow one another. */
export function without(state: ShardState, chunk: Chunk, stale: (i: number) => boolean): Chunk[] {
  const runs: Chunk[] = [];
  for (let from = 0, i = 0; i <= chunk.count; i++) {
    if (i < chunk.count && !stale(i)) continue;
    if (i > from) runs.push(pieceOf(chunk, from, i - from));
    if (i < chunk.count) state.counts.merged++;
    from = i + 1;
  }
  return runs;
}

export const keepable = (keys: readonly (string | null)[]): (string | null)[] =>
  keys.map((key) => (key === null ? null : keepableKey(key)));
