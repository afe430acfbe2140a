/**
 * Idempotency keys: what may be one, and waiting for the first caller of one. The end of a waited-for task is announced
 * on `longwatch_key`; that is a hint, so who misses it looks again by himself. Used by `execute.ts`.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { KEY_BYTES } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import type { Database } from '../lib/database';
import { Listener } from '../lib/listener';
import type { Service } from '../lib/service';
import { errorText, storable, unstorable } from '../../workflows/lib/text';

export interface Key {
  text: string;
  hash: Buffer;
}

/**
 * @throws BadValue when the key cannot be one, or the user's function throws: it would not be retried, and nothing has
 *   run.
 */
export function makeKey(activity: string, ask: () => unknown): Key | null {
  const given = answerOf(activity, 'idempotencyKey', ask);
  if (given === undefined || given === null) return null;
  const problem = keyProblem(given);
  if (problem !== undefined) throw failure(ErrorType.BadValue, `the idempotency key of ${activity} ${problem}`);
  const text = given as string;
  return { text, hash: hashOf(text) };
}

export const hashOf = (key: string): Buffer => createHash('sha256').update(key, 'utf8').digest();

export function keyProblem(key: unknown): string | undefined {
  if (typeof key !== 'string') return `must be text, not ${typeof key}`;
  if (key === '') return 'is empty';
  const problem = unstorable(key, KEY_BYTES);
  return problem?.includes('bytes') ? `${problem}: pass a hash of it` : problem;
}

/** An index of PostgreSQL takes no longer entries: what is longer is held by its hash. Bytes. */
const RESOURCE_BYTES = 1_000;

/** @throws BadValue when the resource cannot be one, or the user's function throws. */
export function makeResource(activity: string, ask: () => unknown): string | null {
  const given = answerOf(activity, 'lease.resource', ask);
  if (given === undefined || given === null) return null;
  const problem = typeof given === 'string' ? unstorable(given) : `must be text, not ${typeof given}`;
  if (problem !== undefined) throw failure(ErrorType.BadValue, `the resource of ${activity} ${problem}`);
  const resource = given as string;
  if (Buffer.byteLength(resource, 'utf8') <= RESOURCE_BYTES) return resource;
  return `${storable(resource, 200)} sha256:${hashOf(resource).toString('hex')}`;
}

/**
 * The hash of what is asked for: of what the user's function returns, by default of the input. It does not depend on
 * the order of an object's fields.
 * @throws BadValue when the function throws, or returns what JSON cannot say.
 */
export function makeFingerprint(
  activity: string,
  input: unknown,
  fingerprint?: (input: unknown) => unknown,
): Buffer | null {
  const text =
    fingerprint === undefined
      ? jsonOf(input)
      : answerOf(activity, 'fingerprint', () => canonicalJson(fingerprint(input)));
  return text === undefined ? null : createHash('sha256').update(text, 'utf8').digest();
}

/** An input that is nested too deep for JSON is not compared, and works. */
function jsonOf(input: unknown): string | undefined {
  try {
    return canonicalJson(input);
  } catch {
    return undefined;
  }
}

/** JSON with the fields of each object in order. Undefined where there is none. */
function canonicalJson(value: unknown): string | undefined {
  return JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    const fields = Object.entries(inner);
    if (fields.length === 0 && !isPlain(inner)) {
      // JSON says the same of each of them: that it is empty. So it does of the promise of an async function.
      throw new TypeError(
        `${/^\[object (\w+)\]$/.exec(Object.prototype.toString.call(inner))?.[1] ?? 'what is there'} cannot be written as JSON`,
      );
    }
    return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** An object as JSON has them: what it has are its fields. */
function isPlain(inner: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(inner);
  return prototype === Object.prototype || prototype === null;
}

/** Asks a function of the definition about this input. If it throws, it would throw again, so nothing is retried. */
function answerOf<T>(activity: string, name: string, ask: () => T): T {
  try {
    return ask();
  } catch (thrown) {
    throw failure(ErrorType.BadValue, `${name} of ${activity} failed: ${errorText(thrown)}`, { cause: thrown });
  }
}

const POLL_MS = 1_000;
const CHANNEL = 'longwatch_key';

/** One listening connection a node, made when the first caller has to wait. */
export class KeyWaiter implements Service {
  private readonly waiting = new Map<string, Set<() => void>>();
  private readonly listener: Listener;

  constructor(database: Database, log: Logger) {
    this.listener = new Listener(database, {
      channel: CHANNEL,
      heard: (hash) => this.wake(hash),
      wanted: () => this.waiting.size > 0,
      log,
    });
  }

  /** Returns at the announcement, after a second, or at `signal`: look again then. */
  async wait(key: Key, atMostMs: number, signal: AbortSignal): Promise<void> {
    const name = key.hash.toString('hex');
    const waiters = this.waiting.get(name) ?? new Set();
    this.waiting.set(name, waiters);
    void this.listener.start();
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        waiters.delete(done);
        if (waiters.size === 0 && this.waiting.get(name) === waiters) this.waiting.delete(name);
        resolve();
      };
      const timer = setTimeout(done, Math.max(1, Math.min(POLL_MS, atMostMs)));
      waiters.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  /** It listens when the first caller has to wait. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return this.listener.stop();
  }

  private wake(hash: string | undefined): void {
    for (const done of [...(this.waiting.get(hash ?? '') ?? [])]) done();
  }
}
