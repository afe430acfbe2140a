/**
 * The `runBatch` activity: gathers a batch's entries (some lie in PostgreSQL), gives them to the definition's `run` and
 * says what became of them. Called by `workflows/buffer/shard.ts`, which counts; whatever is thrown in here comes back
 * as a result, so that the decision what to try again is made in one place (`workflows/buffer/settle.ts`).
 */
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { BatchContext, BatchErrorContext, BufferDefinition } from '../../config/define/buffer';
import type { BatchInput, BatchResult } from '../../workflows/buffer/activities';
import { ErrorType } from '../../workflows/lib/errors';
import { errorOf, failure } from '../lib/failures';
import { errorText } from '../../workflows/lib/text';
import { boundedHold } from '../../config/define/errors';
import { isOutage, type Database } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';
import { readAnswer, type Given } from './answer';
import { gather, type Gathered } from './gather';
import { Keys } from './keys';
import type { BufferMetrics } from './telemetry';
import { AnswerNotStored, packed } from './packed';
import { startHeartbeat } from '../lib/heartbeat';
import { callHook } from '../lib/hook';

export interface BufferDeps {
  node: string;
  database: Database;
  temporal: TemporalLink;
  definitions: ReadonlyMap<string, BufferDefinition<never, never>>;
  metrics: BufferMetrics;
  log: Logger;
}

/** A hold without a time. Milliseconds. */
const HELD_MS = 1_000;
/** A `run` that does not heed its signal is left behind after this. Milliseconds. */
const GRACE_MS = 5_000;

export async function runBatch(deps: BufferDeps, input: BatchInput): Promise<BatchResult> {
  const { buffer, shard } = input;
  const definition = definitionOf(deps, buffer);
  const batch = `${buffer}/${shard}/${input.batch}`;
  const log = deps.log.child({ ...definition.metadata, buffer, shard, batch });
  const began = Date.now();
  const stopHeartbeat = startHeartbeat();
  try {
    const { outcome, entries } = await outcomeOf(deps, input, definition, batch, log);
    const ms = Date.now() - began;
    deps.metrics.ended(buffer, outcome.kind, entries, ms);
    return { node: deps.node, ms, outcome };
  } finally {
    stopHeartbeat();
  }
}

export function definitionOf({ definitions, node }: BufferDeps, buffer: string): BufferDefinition<never, never> {
  const definition = definitions.get(buffer);
  if (!definition) throw failure(ErrorType.NotDefinedHere, `the config of node ${node} has no buffer ${buffer}`);
  return definition;
}

/** The outcome of the batch, and how many of its entries were given to `run`. */
async function outcomeOf(
  deps: BufferDeps,
  input: BatchInput,
  definition: BufferDefinition<never, never>,
  batch: string,
  log: Logger,
): Promise<{ outcome: BatchResult['outcome']; entries: number }> {
  const keys = new Keys(definition);
  let gathered: Gathered;
  try {
    gathered = await gather(deps.database, input, keys.of);
  } catch (thrown) {
    return { outcome: heldByStore(thrown, log), entries: 0 };
  }
  if ('gone' in gathered) {
    const { gone } = gathered;
    const error = `stored entries of buffer ${input.buffer} are gone from PostgreSQL: row ${gone.join(', ')}`;
    log.error({ rows: gone }, error);
    return { outcome: { kind: 'gone', error: error.slice(0, 500), rows: gone }, entries: 0 };
  }
  const { given, forgot } = gathered;
  const outcome: BatchResult['outcome'] =
    given.entries.length === 0
      ? { kind: 'answered', kept: [], fresh: [], voided: input.count }
      : await answered(deps, input, definition, given, batch, log);
  if (outcome.kind === 'answered' && !forgot) outcome.forgot = false;
  tellFailedKeys(deps, definition, keys.failed(), { buffer: input.buffer, shard: input.shard, batch }, log);
  return { outcome, entries: given.entries.length };
}

/** The entries have nothing to do with it, whatever it is: they wait until PostgreSQL does its part. */
function heldByStore(thrown: unknown, log: Logger): BatchResult['outcome'] {
  const error = errorOf(thrown);
  log.warn({ err: error }, 'a batch waits for PostgreSQL');
  return { kind: 'held', error: errorText(error), forMs: HELD_MS, store: true };
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
    return await packed(deps.database, input, given, read);
  } catch (thrown) {
    const error = errorOf(thrown);
    if (thrown instanceof TakenBack) return { kind: 'held', error: error.message, forMs: 0 };
    if (thrown instanceof AnswerNotStored) return heldByStore(thrown, log);
    if (isOutage(error)) return { kind: 'held', error: errorText(error), forMs: HELD_MS };
    const holdMs = holdOf(error);
    if (holdMs !== undefined) {
      log.info({ err: error, holdMs }, 'the upstream asks to wait');
      return { kind: 'held', error: errorText(error), forMs: holdMs };
    }
    log.warn({ err: error, entries: given.entries.length }, 'a batch failed');
    report(deps, definition, error, { buffer: input.buffer, shard: input.shard, batch, entries: input.count }, log);
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
      // A batch that ends by itself now has been done; one that does not is left behind, and comes again.
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

/** Entries that go on without a key, for the definition's `key` has thrown. */
export function tellFailedKeys(
  deps: BufferDeps,
  definition: BufferDefinition<never, never>,
  failed: { count: number; error: Error } | undefined,
  where: Omit<BatchErrorContext, 'entries' | 'node'>,
  log: Logger,
): void {
  if (!failed) return;
  const { error, count } = failed;
  log.warn({ err: error, entries: count }, "a buffer's key could not be found; the entries go on without one");
  deps.metrics.keysFailed(where.buffer, count);
  report(deps, definition, error, { ...where, entries: count }, log);
}

function report(
  { node }: BufferDeps,
  definition: BufferDefinition<never, never>,
  error: Error,
  where: Omit<BatchErrorContext, 'node'>,
  log: Logger,
): void {
  callHook(
    () => definition.onError?.(error, { ...where, node }),
    (failed) => log.error({ err: failed }, 'the onError hook failed'),
  );
}
