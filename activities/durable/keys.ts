/**
 * Idempotency keys: what may be one, and waiting for the first caller of one. The end of a waited-for task is announced on
 * `longwatch_key`; that is a hint, so who misses it looks again by himself. Used by `execute.ts`.
 */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import type { Logger } from 'pino';
import { KEY_BYTES } from '../../workflows/lib/durable';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../failures';
import type { Database } from '../store/database';

export interface Key {
  text: string;
  hash: Buffer;
}

/** @throws BadValue when the key cannot be one: it would not be retried, and nothing has run. */
export function makeKey(activity: string, given: unknown): Key | null {
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
  if (key.includes('\0')) return 'has a NUL character';
  if (/\p{Surrogate}/u.test(key)) return 'has half of a surrogate pair, which UTF-8 cannot say';
  const bytes = Buffer.byteLength(key, 'utf8');
  if (bytes > KEY_BYTES) return `has ${bytes} bytes; at most ${KEY_BYTES} can be used: pass a hash of it`;
  return undefined;
}

const POLL_MS = 1_000;
const RECONNECT_MS = 1_000;

/** One listening connection a node, made when the first caller has to wait. */
export class KeyWaiter {
  private readonly waiting = new Map<string, Set<() => void>>();
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
  ) {}

  /** Returns at the announcement, after a second, or at `signal`: look again then. */
  async wait(key: Key, atMostMs: number, signal: AbortSignal): Promise<void> {
    const name = key.hash.toString('hex');
    const waiters = this.waiting.get(name) ?? new Set();
    this.waiting.set(name, waiters);
    if (!this.client && this.timer === undefined) this.connect();
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

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.client?.end().catch(() => undefined);
  }

  private connect(): void {
    if (this.closed) return;
    const client = this.database.listener();
    this.client = client;
    const again = () => {
      if (this.closed || this.client !== client) return;
      this.client = undefined;
      client.removeAllListeners();
      client.on('error', () => undefined);
      void client.end().catch(() => undefined);
      this.timer = setTimeout(() => {
        this.timer = undefined;
        if (this.waiting.size > 0) this.connect();
      }, RECONNECT_MS);
    };
    client.on('error', again);
    client.on('end', again);
    client.on('notification', ({ payload }) => {
      for (const done of [...(this.waiting.get(payload ?? '') ?? [])]) done();
    });
    client
      .connect()
      .then(() => client.query('listen longwatch_key'))
      .catch((error: unknown) => {
        this.log.debug({ err: error }, 'cannot listen for keys; looking each second instead');
        again();
      });
  }
}
