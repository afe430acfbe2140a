/**
 * One request on its way: undici's callbacks in, one `Answer` or one error out. It is a dispatch handler rather
 * than `pool.request`, which would make a stream for every body. Created by `http.ts`.
 */
import type { Client, Dispatcher } from 'undici';
import type { Connections, Sendable } from './connections';
import type { DeadlineList, Deadlined } from './deadlines';
import { HoldError, UpstreamError, type UpstreamFailure } from './errors';
import { headerOf, maxAgeOf, retryAfterMs, type ServerClock } from './headers';

/** What a call needs to know of its upstream. */
export interface CallSettings {
  readonly maxBodyBytes: number;
  readonly defaultHoldMs: number;
  readonly clock: ServerClock;
  holdScope(answer: { status: number; path: string }): HoldError['scope'];
}

/** A 2xx or a 304. */
export class Answer<T> {
  readonly #raw: readonly Buffer[];
  constructor(
    readonly status: number,
    /** True: a 304, the value that belongs to the ETag sent still holds, and `body` is undefined. */
    readonly notModified: boolean,
    /** Parsed JSON; null for a 204. */
    readonly body: T,
    readonly etag: string | undefined,
    /** Epoch milliseconds of this machine, from `Expires`, else from `Cache-Control: max-age`; never early. */
    readonly expiresAt: number | undefined,
    raw: readonly Buffer[],
  ) {
    this.#raw = raw;
  }

  /** Any header of the answer, by its name in lower case. */
  header(name: string): string | undefined {
    return headerOf(this.#raw, name);
  }
}

/** Where a refused answer says how long to stay away: `Retry-After`, or for a 420 ESI's own header. */
const HOLDING = new Set([420, 429, 503]);

/** The path for people: without the query, and without segments that may be keys. */
export function describe(method: string, path: string): string {
  if (!path.startsWith('/')) return method;
  const bare = path.split(/[?#]/, 1)[0]!;
  const masked = bare.replace(/[^/]{20,}/g, (part) => (/^\d+$/.test(part) ? part : '…'));
  return `${method} ${masked.slice(0, 200)}`;
}

export class Call implements Sendable, Deadlined {
  previous: Deadlined | undefined = undefined;
  next: Deadlined | undefined = undefined;
  deadline = 0;
  connection: Client | undefined = undefined;
  settled = false;
  private status = 0;
  private raw: Buffer[] = [];
  private first: Buffer | undefined = undefined;
  private rest: Buffer[] | undefined = undefined;
  private bytes = 0;
  private abort: ((error?: Error) => void) | undefined = undefined;

  constructor(
    readonly request: Dispatcher.DispatchOptions,
    private readonly connections: Connections,
    private readonly settings: CallSettings,
    private readonly deadlines: DeadlineList,
    private readonly signal: AbortSignal | undefined,
    private readonly resolve: (answer: Answer<unknown>) => void,
    private readonly reject: (error: Error) => void,
  ) {}

  // ── undici's side ──────────────────────────────────────────────────────────────────────────

  onConnect(abort: (error?: Error) => void): void {
    // It timed out while it waited for a free connection: undici drops it here, before it is sent.
    if (this.settled) abort();
    else this.abort = abort;
  }

  onHeaders(status: number, raw: Buffer[]): boolean {
    if (status < 200) return true;
    this.status = status;
    this.raw = raw;
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    if (this.bytes > this.settings.maxBodyBytes) {
      if (this.status >= 200 && this.status < 300) {
        this.fail('too large', `a body of more than ${this.settings.maxBodyBytes} bytes`, false);
      } else {
        this.refuse();
      }
      return false;
    }
    // The body of a refusal is read so that its connection can be used again, and thrown away.
    if (this.status >= 300) return true;
    if (this.first === undefined) this.first = chunk;
    else (this.rest ??= []).push(chunk);
    return true;
  }

  onComplete(): void {
    if (!this.settled) this.finish();
    this.release();
  }

  private finish(): void {
    const { status, raw } = this;
    if ((status < 200 || status >= 300) && status !== 304) {
      this.refuse();
      return;
    }
    let body: unknown = status === 204 ? null : undefined;
    if (status !== 304 && status !== 204) {
      try {
        body = JSON.parse(this.text());
      } catch {
        // Without the parser's message: it quotes the body.
        this.fail('garbage', 'a body that is not JSON', true);
        return;
      }
    }
    let etag: string | undefined;
    let date: string | undefined;
    let expires: string | undefined;
    let cacheControl: string | undefined;
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i]!;
      switch (name.length) {
        case 4: {
          const initial = name[0]! | 32;
          if (initial === 0x65 && (name[1]! | 32) === 0x74) etag = raw[i + 1]!.toString('latin1');
          else if (initial === 0x64) date = raw[i + 1]!.toString('latin1');
          break;
        }
        case 7:
          if ((name[0]! | 32) === 0x65) expires = raw[i + 1]!.toString('latin1');
          break;
        case 13:
          if ((name[0]! | 32) === 0x63 && (name[1]! | 32) === 0x61) cacheControl = raw[i + 1]!.toString('latin1');
          break;
      }
    }
    const now = Date.now();
    if (date !== undefined) this.settings.clock.observe(date, now);
    this.settle();
    this.resolve(new Answer(status, status === 304, body, etag, this.expiry(expires, cacheControl, now), raw));
  }

  onError(error: Error): void {
    if (!this.settled) this.failSending(error);
    this.release();
  }

  /** Once: undici calls either `onComplete` or `onError`, and nothing after it. */
  private release(): void {
    const { connection } = this;
    this.connection = undefined;
    if (connection) this.connections.release(connection);
  }

  private failSending(error: Error): void {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'UND_ERR_INVALID_ARG') this.refuseToSend();
    else if (code === 'UND_ERR_CLOSED' || code === 'UND_ERR_DESTROYED')
      this.fail('aborted', 'the client was closed', true);
    else if (code === 'UND_ERR_CONNECT_TIMEOUT') this.fail('timeout', 'no connection in time', true);
    else this.fail('closed', `the connection failed (${/^[A-Z_0-9]+$/.test(code) ? code : error.name})`, true);
  }

  // ── The caller's side ──────────────────────────────────────────────────────────────────────

  refuseToSend(): void {
    this.fail('request', 'it cannot be sent (a bad path or header)', false);
  }

  /** Called by the deadline list. */
  expire(): void {
    this.fail('timeout', `no answer within ${this.deadlines.timeoutMs} ms`, true);
  }

  /** The listener of the caller's signal. */
  handleEvent(): void {
    this.fail('aborted', 'aborted', true);
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────

  private text(): string {
    if (this.first === undefined) return '';
    if (this.rest === undefined) return this.first.toString('utf8');
    return Buffer.concat([this.first, ...this.rest], this.bytes).toString('utf8');
  }

  private expiry(expires: string | undefined, cacheControl: string | undefined, now: number): number | undefined {
    if (expires !== undefined) {
      const at = Date.parse(expires);
      // `Expires: 0` and the like mean 'already expired'.
      if (Number.isNaN(at)) return undefined;
      const local = this.settings.clock.toLocal(at);
      return local > now ? local : undefined;
    }
    const maxAge = cacheControl === undefined ? undefined : maxAgeOf(cacheControl);
    return maxAge === undefined || maxAge === 0 ? undefined : now + maxAge * 1_000;
  }

  /** An answer that is neither 2xx nor 304: a hold where the upstream asks for one, else an error. */
  private refuse(): void {
    const { status, raw, settings } = this;
    const { method, path } = this.request;
    if (HOLDING.has(status)) {
      const now = Date.now();
      const date = headerOf(raw, 'date');
      if (date !== undefined) settings.clock.observe(date, now);
      const retryAfter = headerOf(raw, 'retry-after');
      const reset = status === 420 ? headerOf(raw, 'x-esi-error-limit-reset') : undefined;
      const told = retryAfterMs(retryAfter ?? reset ?? '', now, settings.clock);
      if (told !== undefined || status !== 503) {
        const afterMs = told ?? settings.defaultHoldMs;
        const message = `${describe(method, path)}: answered ${status}, to be left alone for ${Math.ceil(afterMs / 1_000)} s`;
        this.end(new HoldError(message, { afterMs, scope: settings.holdScope({ status, path }) }));
        return;
      }
    }
    const retryable = status >= 500 || status === 408 || status === 425;
    this.fail('status', `answered ${status}`, retryable);
  }

  private fail(failure: UpstreamFailure, text: string, retryable: boolean): void {
    const message = `${describe(this.request.method, this.request.path)}: ${text}`;
    this.end(new UpstreamError(message, { failure, status: this.status, retryable }));
  }

  private end(error: Error): void {
    if (this.settled) return;
    this.settle();
    this.reject(error);
    // Ends the connection too, if the answer is still on its way; does nothing once it is complete.
    this.abort?.();
  }

  private settle(): void {
    this.settled = true;
    this.first = undefined;
    this.rest = undefined;
    this.deadlines.remove(this);
    this.signal?.removeEventListener('abort', this);
  }
}
