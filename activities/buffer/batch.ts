/**
 * The `runBatch` activity: gathers a batch's entries (some lie in PostgreSQL), gives them to the definition's `run` and says what became
 * of them. Called by `workflows/buffer/shard.ts`, which counts; whatever is thrown in here comes back as a result, so that the
 * decision what to try again is made in one place (`workflows/buffer/outcome.ts`).
 */
import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { BatchContext, BufferDefinition } from '../../workers/config/buffer';
import type { Json } from '../../workflows/buffer/contract';
import type { BatchInput, BatchResult, Kept, Loose } from '../../workflows/buffer/activities';
import { ErrorType } from '../../workflows/lib/errors';
import { errorOf, failure } from '../failures';
import { errorText } from '../store/text';
import { boundedHold } from '../upstream/errors';
import { isOutage, type Database } from '../store/database';
import { forgetRows, readRows, sendRow, staleEntries } from '../store/chunks';
import type { TemporalLink } from '../temporal';
import { readAnswer, type Given, type ReadAnswer } from './answer';
import { keyFunction } from './keys';
import type { BufferMetrics } from './metrics';

export interface BufferDeps {
  node: string;
  database: Database;
  temporal: TemporalLink;
  definitions: ReadonlyMap<string, BufferDefinition<never, never>>;
  metrics: BufferMetrics;
  log: Logger;
}

/** What a result may carry itself; more goes to PostgreSQL. Characters. */
const RESULT_BYTES = 128 * 1024;
/** A `run` that does not heed its signal is left behind after this. Milliseconds. */
const GRACE_MS = 5_000;

export async function runBatch(deps: BufferDeps, input: BatchInput): Promise<BatchResult> {
  const { buffer, shard } = input;
  const definition = definitionOf(deps, buffer);
  const batch = `${buffer}/${shard}/${input.batch}`;
  const log = deps.log.child({ ...definition.metadata, buffer, shard, batch });
  const began = Date.now();
  const heart = setInterval(
    () => Context.current().heartbeat(),
    (Context.current().info.heartbeatTimeoutMs ?? 10_000) * 0.4,
  );
  try {
    const given = await gather(deps, input, definition);
    const outcome: BatchResult['outcome'] =
      given.entries.length === 0
        ? { kind: 'answered', kept: [], fresh: [], voided: input.count }
        : await answered(deps, input, definition, given, batch, log);
    const ms = Date.now() - began;
    deps.metrics.ended(buffer, outcome.kind, given.entries.length, ms);
    return { node: deps.node, ms, outcome };
  } finally {
    clearInterval(heart);
  }
}

export function definitionOf({ definitions, node }: BufferDeps, buffer: string): BufferDefinition<never, never> {
  const definition = definitions.get(buffer);
  if (!definition) throw failure(ErrorType.NotDefinedHere, `the config of node ${node} has no buffer ${buffer}`);
  return definition;
}

/** The batch's entries in their order, without those of which a newer one of the same key is waiting. */
async function gather(
  { database }: BufferDeps,
  { buffer, shard, chunks, checkKeys, forget }: BatchInput,
  definition: BufferDefinition<never, never>,
): Promise<Given> {
  const ids = [...new Set(chunks.flatMap((chunk) => (chunk.row === undefined ? [] : [chunk.row])))];
  const needsDatabase = ids.length > 0 || checkKeys || forget.length > 0;
  const keyOf = keyFunction(definition);
  const entries: Json[] = [];
  const numbers: number[] = [];
  const known: (string | null)[] = [];
  const collect = (rows: Awaited<ReturnType<typeof readRows>>): void => {
    for (const chunk of chunks) {
      const row = chunk.row === undefined ? undefined : rows.get(chunk.row);
      if (chunk.row !== undefined && !row) {
        throw failure(ErrorType.BadValue, `the stored entries ${chunk.row} of buffer ${buffer} are gone`);
      }
      const from = chunk.from ?? 0;
      for (let i = 0; i < chunk.count; i++) {
        entries.push(row ? row.entries[from + i]! : chunk.entries![i]!);
        numbers.push(chunk.first + i);
        known.push((row ? row.keys?.[from + i] : chunk.keys?.[i]) ?? null);
      }
    }
  };
  let stale = new Set<number>();
  if (needsDatabase) {
    await database.transaction(async (db) => {
      await forgetRows(db, buffer, forget);
      collect(await readRows(db, buffer, ids));
      if (!checkKeys) return;
      const keyed = known.flatMap((key, at) => (key === null ? [] : [{ key, number: numbers[at]!, at }]));
      const found = await staleEntries(db, buffer, shard, keyed);
      stale = new Set([...found].map((i) => keyed[i]!.at));
    });
  } else {
    collect(new Map());
  }
  const positions = entries.flatMap((_, i) => (stale.has(i) ? [] : [i]));
  const live = stale.size === 0 ? entries : positions.map((i) => entries[i]!);
  return {
    entries: live,
    positions,
    before: JSON.stringify(live),
    keyOf,
    keys: checkKeys ? positions.map((i) => known[i]!) : undefined,
  };
}

async function answered(
  deps: BufferDeps,
  input: BatchInput,
  definition: BufferDefinition<never, never>,
  given: Given,
  batch: string,
  log: Logger,
): Promise<BatchResult['outcome']> {
  const ending = new AbortController();
  try {
    const answer = await within(input.timeoutMs, ending, () => {
      const context: BatchContext<never> = {
        buffer: input.buffer,
        shard: input.shard,
        state: input.state as never,
        signal: ending.signal,
        heartbeat: () => Context.current().heartbeat(),
        batch,
        log,
      };
      // The list is run's own: what it does to it must not change what was given.
      return definition.run([...given.entries] as never[], context);
    });
    const read = readAnswer(answer, given, Date.now());
    return await packed(deps, input, given, read);
  } catch (thrown) {
    const error = errorOf(thrown);
    if (thrown instanceof TakenBack) return { kind: 'held', error: error.message, forMs: 0 };
    if (isOutage(error)) throw error;
    const holdMs = holdOf(error);
    if (holdMs !== undefined) {
      log.info({ err: error, holdMs }, 'the upstream asks to wait');
      return { kind: 'held', error: errorText(error), forMs: holdMs };
    }
    log.warn({ err: error, entries: given.entries.length }, 'a batch failed');
    report(deps, definition, error, input, batch, log);
    const final = (error as { nonRetryable?: unknown }).nonRetryable === true;
    return {
      kind: 'failed',
      error: errorText(error),
      tooLarge: thrown instanceof TimedOut || isTooLarge(error),
      final,
    };
  }
}

class TimedOut extends Error {
  constructor(ms: number) {
    super(`it took longer than ${ms} ms`);
  }
}
class TakenBack extends Error {
  constructor() {
    super('taken back');
  }
}

/** Runs `work` until it ends, its time is over, or the shard takes the batch back; then its signal fires. */
async function within<T>(timeoutMs: number, ending: AbortController, work: () => T | Promise<T>): Promise<T> {
  const { cancellationSignal } = Context.current();
  let timer: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  let onCancel: (() => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new TimedOut(timeoutMs);
      ending.abort(error);
      reject(error);
    }, timeoutMs);
    onCancel = () => {
      const error = new TakenBack();
      ending.abort(error);
      // What ends by itself now has been done; what does not is left behind, and comes again.
      grace = setTimeout(() => reject(error), GRACE_MS);
    };
    cancellationSignal.addEventListener('abort', onCancel, { once: true });
    if (cancellationSignal.aborted) onCancel();
  });
  const running = (async () => work())();
  running.catch(() => undefined);
  try {
    return await Promise.race([running, ended]);
  } catch (error) {
    // It heeded the signal: it was not its own failure.
    if (cancellationSignal.aborted && !(error instanceof TimedOut)) throw new TakenBack();
    throw error;
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
    if (onCancel) cancellationSignal.removeEventListener('abort', onCancel);
  }
}

/** The result as it travels: what is too much for it is stored. */
async function packed(
  { database }: BufferDeps,
  input: BatchInput,
  given: Given,
  read: ReadAnswer,
): Promise<BatchResult['outcome']> {
  const { keyOf } = given;
  const { buffer } = input;
  let room = RESULT_BYTES;
  const store = async (entries: Json[], json: string, keys: (string | null)[] | undefined, seconds: number | null) => {
    const id = `${buffer}.${input.shard}.b${input.batch}.${randomUUID()}`;
    await database.transaction((db) => sendRow(db, { buffer, id, entries, json, keys }, seconds));
    return id;
  };
  const kept: Kept[] = [];
  for (const one of read.kept) {
    if (!one.entries || one.bytes! <= room) {
      room -= one.bytes ?? 0;
      kept.push(one);
      continue;
    }
    const { entries, ...rest } = one;
    const keys = keyOf && entries.map((entry) => keyOf(entry));
    kept.push({ ...rest, row: await store(entries, JSON.stringify(entries), keys, null) });
  }
  const fresh: (Loose & { at?: number })[] = [];
  for (const { entries, at } of read.fresh) {
    const json = JSON.stringify(entries);
    const loose = { count: entries.length, bytes: json.length, ...(at === undefined ? {} : { at }) };
    const keys = keyOf && entries.map((entry) => keyOf(entry));
    if (json.length <= room) {
      room -= json.length;
      fresh.push({ ...loose, entries, ...(keys ? { keys } : {}) });
    } else {
      fresh.push({ ...loose, row: await store(entries, json, keys, ORPHAN_SECONDS) });
    }
  }
  const { state, reason } = read;
  return {
    kind: 'answered',
    kept,
    fresh,
    voided: input.count - given.entries.length,
    ...(state === undefined ? {} : { state }),
    ...(reason === undefined ? {} : { reason: reason.slice(0, 500) }),
  };
}

/** A row whose batch never came back to its shard. */
const ORPHAN_SECONDS = 86_400;

/** A hold uses no attempt, so one of no length would run the batch again and again. */
const SHORTEST_HOLD_MS = 100;

function holdOf(error: Error): number | undefined {
  const { name, afterMs } = error as { name: string; afterMs?: unknown };
  return name === 'HoldError' ? Math.max(SHORTEST_HOLD_MS, boundedHold(afterMs)) : undefined;
}

/** Said by its name, for a config may bring its own copy of the class; or by an upstream's status. */
function isTooLarge(error: Error): boolean {
  const { name, status, failure: kind } = error as { name: string; status?: unknown; failure?: unknown };
  return (
    name === 'TooLargeError' || status === 413 || kind === 'timeout' || kind === 'too large' || name === 'TimeoutError'
  );
}

function report(
  { node }: BufferDeps,
  definition: BufferDefinition<never, never>,
  error: Error,
  { buffer, shard, count }: BatchInput,
  batch: string,
  log: Logger,
): void {
  if (!definition.onError) return;
  const failed = (thrown: unknown) => log.error({ err: errorOf(thrown) }, 'the onError hook failed');
  try {
    const returned: unknown = definition.onError(error, { buffer, shard, batch, entries: count, node });
    if (returned instanceof Promise) returned.catch(failed);
  } catch (thrown) {
    failed(thrown);
  }
}
