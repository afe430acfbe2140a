/**
 * The `readInitPage` activity: asks the definition's `init` for one page, spreads it over the shards, notes it, so that
 * the page is the same however often it is asked for, and sends it: a small page whole, of a large one where its rows
 * are. Called by the parent (`workflows/buffer/buffer.ts`), through which the entries themselves do not go.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { InitContext } from '../../config/define/buffer';
import { INIT_SENDER, type PushMessage } from '../../workflows/buffer/contract';
import type { BufferActivities, InitChunk, InitPage, InitPageRead } from '../../workflows/buffer/activities';
import { jsonBytes, utf8Bytes } from '../../workflows/lib/size';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import { notePage, readPage } from './store/buffers';
import { putOffKeys, sendRow } from './store/chunks';
import { isOutage, type Queryable } from '../lib/database';
import { definitionOf, tellFailedKeys, type BufferDeps } from './batch';
import { keyInJson, Keys, shardOfKey } from './keys';
import type { Json } from '../../workflows/lib/json';

/**
 * One row has at most so many entries, and bytes where they are several, so that a batch can be made of some of them.
 */
const ROW_ENTRIES = 2_000;
const ROW_BYTES = 1_000_000;
/**
 * So much of a page travels by itself, which costs the shards neither a read nor a write; the rest by reference. Bytes:
 * an eighth of what a payload may have.
 */
const INLINE_BYTES = 256 * 1024;
/**
 * The first page is read while the shards start: one that is not there yet is waited for so often, so long.
 * Milliseconds.
 */
const LOOKS = 20;
const LOOK_MS = 50;
/** From one attempt to the next while PostgreSQL is away. Milliseconds. */
const OUTAGE_MS = 5_000;

type Input = Parameters<BufferActivities['readInitPage']>[0];

export async function readInitPage(deps: BufferDeps, input: Input): Promise<InitPageRead> {
  const signal = Context.current().cancellationSignal;
  const heart = setInterval(() => Context.current().heartbeat(), 5_000);
  try {
    return await readAndSend(deps, input, signal);
  } catch (thrown) {
    // The pause before the next attempt grows for the upstream's sake; when PostgreSQL is back it need not be waited
    // for long.
    if (!isOutage(thrown)) throw thrown;
    throw failure(ErrorType.StoreUnavailable, (thrown as Error).message, { cause: thrown, nextRetryDelay: OUTAGE_MS });
  } finally {
    clearInterval(heart);
  }
}

async function readAndSend(deps: BufferDeps, input: Input, signal: AbortSignal): Promise<InitPageRead> {
  const { buffer, pass, page: number } = input;
  const noted = await deps.database.transaction((db) => readPage(db, buffer, pass, number));
  const page = noted ?? (await ask(deps, input, signal));
  await send(deps, buffer, page, signal);
  return { ...page, chunks: page.chunks.map(({ shard, seq, count }) => ({ shard, seq, count })) };
}

async function ask(deps: BufferDeps, input: Input, signal: AbortSignal): Promise<InitPage> {
  const { buffer, pass, page, cursor: from, limit } = input;
  const definition = definitionOf(deps, buffer);
  const context: InitContext<never> = {
    buffer,
    cursor: from === null ? undefined : from,
    state: definition.state as never,
    limit,
    pass,
    signal,
    log: deps.log.child({ ...definition.metadata, buffer, pass, page }),
  };
  const answer: unknown = await definition.init?.(context);
  const { entries, cursor } = readAnswer(answer, buffer);
  const keys = new Keys(definition);
  const groups = spread(entries, input.shards, keys.of);
  const kept = await keep(deps, input, groups, cursor);
  for (const [shard, group] of groups.entries()) {
    const where = { buffer, shard, batch: `${buffer}/init/${pass}.${page}` };
    tellFailedKeys(deps, definition, keys.failed(group.entries), where, context.log);
  }
  return kept;
}

/** To each shard its chunks in their order. A shard does not take again what it has already. */
async function send({ temporal }: BufferDeps, buffer: string, page: InitPage, signal: AbortSignal): Promise<void> {
  const byShard = new Map<number, InitChunk[]>();
  for (const chunk of page.chunks) byShard.set(chunk.shard, [...(byShard.get(chunk.shard) ?? []), chunk]);
  await Promise.all(
    [...byShard].map(async ([shard, chunks]) => {
      for (const chunk of chunks) {
        await whenThere(() => temporal.push(buffer, shard, messageOf(chunk, page.last)), signal);
      }
    }),
  );
}

function messageOf({ seq, bytes, entries, keys, row, count }: InitChunk, last: boolean): PushMessage {
  return {
    sender: INIT_SENDER,
    seq,
    bytes,
    ...(row === undefined ? { entries, ...(keys ? { keys } : {}) } : { row: { id: row, count } }),
    ...(last ? { last } : {}),
  };
}

/**
 * @throws WorkflowNotFoundError where the shard does not come: the attempt has failed, and the next one finds the page
 *   noted.
 */
async function whenThere(push: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let look = 1; ; look++) {
    try {
      return await push();
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError) || look === LOOKS) throw error;
      await delay(LOOK_MS, undefined, { signal });
    }
  }
}

function readAnswer(answer: unknown, buffer: string): { entries: Json[]; cursor: Json } {
  const { entries, cursor } = (answer ?? { entries: [] }) as { entries?: unknown; cursor?: Json };
  if (!Array.isArray(entries)) throw new TypeError(`init of buffer ${buffer} must answer { entries, cursor }`);
  for (const [i, entry] of entries.entries()) {
    const problem = problemOf(entry);
    if (problem !== undefined) throw new TypeError(`init of buffer ${buffer}: entry ${i} ${problem}`);
  }
  return { entries: entries as Json[], cursor: cursor ?? null };
}

/** Why it is not JSON; looked at only if the type does not tell. */
function problemOf(entry: unknown): string | undefined {
  if (typeof entry === 'string' || typeof entry === 'number' || typeof entry === 'boolean') return undefined;
  try {
    return JSON.stringify(entry) === undefined ? 'is not JSON' : undefined;
  } catch (error) {
    return `cannot be JSON: ${(error as Error).message}`;
  }
}

/** The note of the page and its rows in one transaction: it is there as a whole or not at all. */
async function keep(
  { database, definitions }: BufferDeps,
  { buffer, pass, page, seqs }: Input,
  groups: readonly Group[],
  cursor: Json,
): Promise<InitPage> {
  // The shards know a key that is a path by themselves.
  const tellsKeys = typeof definitions.get(buffer)!.key === 'function';
  let room = INLINE_BYTES;
  return database.transaction(async (db) => {
    const last = seqs.map((next) => next - 1);
    const read: InitPage = {
      pass,
      page,
      chunks: [],
      entries: 0,
      cursor,
      last: cursor === null,
      seqs: last,
    };
    for (const [shard, found] of groups.entries()) {
      const group = await withoutPutOff(db, buffer, shard, found);
      // A pass that finds nothing else is an empty one: the next one is not asked for at once.
      read.entries += group.entries.length;
      for (const { from, part, keys, json, bytes } of partsOf(group, room)) {
        const chunk = { shard, seq: ++last[shard]!, count: part.length, bytes };
        if (bytes <= room) {
          room -= bytes;
          read.chunks.push({ ...chunk, entries: part, ...(tellsKeys && keys ? { keys } : {}) });
          continue;
        }
        const row = `${buffer}.init.${pass}.${page}.${shard}.${from}`;
        await sendRow(db, { buffer, id: row, entries: part, json, ...(keys ? { keys } : {}) }, null);
        read.chunks.push({ ...chunk, row });
      }
    }
    await notePage(db, buffer, read);
    return read;
  });
}

/** The entries that go to one shard; keys where the buffer has them. */
interface Group {
  entries: Json[];
  keys?: (string | null)[];
}

/**
 * An entry that lies in PostgreSQL until its time stays as it is: sent again it would be the newer one of its key, and
 * run now.
 */
async function withoutPutOff(db: Queryable, buffer: string, shard: number, group: Group): Promise<Group> {
  const { entries, keys } = group;
  const putOff = keys ? await putOffKeys(db, buffer, shard, keys) : new Set<number>();
  if (putOff.size === 0) return group;
  const isLeft = (_: unknown, i: number): boolean => !putOff.has(i);
  return { entries: entries.filter(isLeft), ...(keys ? { keys: keys.filter(isLeft) } : {}) };
}

interface Part {
  from: number;
  part: Json[];
  keys?: (string | null)[];
  json: string;
  bytes: number;
}

/** A group that may travel by itself stays whole; of any other each part is as large as a row may be. */
function partsOf({ entries: group, keys }: Group, room: number): Part[] {
  const make = (from: number, part: Json[]): Part => {
    const json = JSON.stringify(part);
    const theirs = keys?.slice(from, from + part.length);
    return { from, part, ...(theirs ? { keys: theirs } : {}), json, bytes: utf8Bytes(json) };
  };
  if (group.length === 0) return [];
  const whole = make(0, group);
  if (whole.bytes <= room || (group.length <= ROW_ENTRIES && whole.bytes <= ROW_BYTES)) return [whole];
  const parts: Part[] = [];
  let from = 0;
  let bytes = 2;
  for (const [i, entry] of group.entries()) {
    const size = jsonBytes(entry) + 1;
    if (i > from && (i - from >= ROW_ENTRIES || bytes + size > ROW_BYTES)) {
      parts.push(make(from, group.slice(from, i)));
      from = i;
      bytes = 2;
    }
    bytes += size;
  }
  parts.push(make(from, group.slice(from)));
  return parts;
}

/** By key where there is one; else runs of neighbours, so that a batch has what belongs together. */
function spread(entries: Json[], shards: number, keyOf: Keys['of']): Group[] {
  const groups = Array.from({ length: shards }, (): Group => ({ entries: [], ...(keyOf ? { keys: [] } : {}) }));
  const share = Math.max(1, Math.ceil(entries.length / shards));
  entries.forEach((entry, i) => {
    const key = keyOf ? keyInJson(keyOf, entry) : null;
    const group = groups[key === null ? Math.floor(i / share) : shardOfKey(key, shards)]!;
    group.entries.push(entry);
    group.keys?.push(key);
  });
  return groups;
}
