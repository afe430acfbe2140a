/**
 * A thin HTTP client for operations: one origin, kept connections, JSON in and out, conditional requests, typed
 * errors. Exported as `longwatch/upstream`; an operation's `run` calls it and returns what it says to the shift.
 * It is undici's `Client`s (`connections.ts`) and little else, because it is paid for on every fetch.
 */
import type { Json } from '../../config/define/tracker';
import type { Answer, Received } from './answer';
import { parseExact } from './body';
import { Call, type CallSettings, type Judgement } from './call';
import { Connections } from './connections';
import { DeadlineList } from './deadlines';
import { DEFAULT_HOLD_MS, type HoldError } from '../../config/define/errors';
import { UpstreamError } from './errors';
import { laneOf } from './lane';
import { permitFor, type Permit } from './spending';

export interface UpstreamOptions {
  /** Scheme, host and port: `https://esi.evetech.net`. No path, no user name. */
  origin: string;
  /**
   * Connections at most. They are shared by all operations: a quarter is kept for those in equal parts, so that one
   * whose requests hang does not keep the others out. @default 128
   */
  connections?: number;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** A longer body, as it comes or unpacked, is an error, and is not read to its end. @default 1 MiB */
  maxBodyBytes?: number;
  /** From the call to the end of the answer, waiting for a connection included. @default 10 s */
  timeoutMs?: number;
  /** The scope of a hold. @default 420: the tracker, for it is a limit of the whole address; else the operation */
  holdScope?: HoldError['scope'] | ((answer: { status: number; path: string }) => HoldError['scope']);
  /**
   * How long to hold after a 429 or 420 that does not say, or says what is over or cannot be read. 1 s at least.
   * @default 15 s
   */
  defaultHoldMs?: number;
  /**
   * Your own judgement of each answer but a 304, before Longwatch's: return `{ afterMs, scope }` to make it a hold
   * whatever its status, false to make it none, nothing to leave it to Longwatch. `afterMs` is the answer's own or
   * `defaultHoldMs` where you leave it out, `scope` is that of `holdScope`.
   * @example judge: (answer) => (answer.status === 400 && /too fast/.test(answer.text) ? { afterMs: 5_000 } :
   *   undefined)
   */
  judge?: (answer: Received) => Judgement;
  /** Whole numbers beyond 2^53 come as text, digit for digit, instead of being rounded. @default false */
  exactIntegers?: boolean;
}

export interface RequestOptions {
  /** Sent as If-None-Match; the answer may then be `notModified`. */
  etag?: string | undefined;
  /** Aborts the request. Costs a listener; without one the timeout alone ends it. */
  signal?: AbortSignal | undefined;
  headers?: Record<string, string>;
  /** In place of the upstream's own. Keep to a few distinct values. */
  timeoutMs?: number;
  /** Makes the answer's `body` of its text. If it throws, the body counts as 'not JSON'. @default JSON.parse */
  parse?: (text: string) => unknown;
  /**
   * Requests of one lane wait behind each other, and lanes share the connections. @default the operation that runs, or
   * the path's shape
   */
  lane?: string;
  /**
   * The member (or whatever else) whose buckets it spends from, where that is not the run's own. Only of an upstream
   * with limits.
   */
  id?: string;
}

export interface Upstream {
  /**
   * Throws `HoldError` (429, 420; 403, 502, 503 and 504 with Retry-After; 403 of a limit that has nothing left) or
   * `UpstreamError` (everything else but 2xx and 304).
   */
  get<T = Json>(path: string, options?: RequestOptions): Promise<Answer<T>>;
  /** The body goes as JSON, or as a form where it is URLSearchParams. Throws as `get` does. */
  post<T = Json>(path: string, body: Json | URLSearchParams, options?: RequestOptions): Promise<Answer<T>>;
  /** Ends every connection; what is under way fails with `aborted`. */
  close(): Promise<void>;
}

const defaultScope = (answer: { status: number }): HoldError['scope'] =>
  answer.status === 420 ? 'tracker' : 'operation';

/** The origin as undici wants it. Throws a TypeError that does not repeat it: it may hold a password. */
function parseOrigin(origin: string): string {
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw new TypeError('origin must be an http or https address');
  if (url.username !== '' || url.password !== '') throw new TypeError('origin must not hold a user name or password');
  if (url.pathname !== '/' || url.search !== '') throw new TypeError('origin must not have a path or query');
  return url.origin;
}

/** Opens no connection yet. Throws TypeError for an origin that is none and for headers that cannot be sent. */
export function createUpstream(options: UpstreamOptions): Upstream {
  return new PooledUpstream(options);
}

/** The same for `defineUpstream`. @param limitedAs its name, where it has limits: each request asks for a permit */
export function createLimited(options: UpstreamOptions, limitedAs: string | undefined): Upstream {
  return new PooledUpstream(options, limitedAs);
}

class PooledUpstream implements Upstream {
  private readonly connections: Connections;
  private readonly settings: CallSettings;
  private readonly parse: (text: string) => unknown;
  private readonly headers: string[];
  private readonly deadlines: DeadlineList;
  private readonly otherDeadlines = new Map<number, DeadlineList>();

  constructor(
    options: UpstreamOptions,
    private readonly limitedAs?: string,
  ) {
    const { holdScope = defaultScope } = options;
    this.connections = new Connections(parseOrigin(options.origin), options.connections ?? 128);
    this.settings = {
      maxBodyBytes: options.maxBodyBytes ?? 1024 * 1024,
      defaultHoldMs: options.defaultHoldMs ?? DEFAULT_HOLD_MS,
      holdScope: typeof holdScope === 'function' ? holdScope : () => holdScope,
      judge: options.judge,
    };
    this.parse = options.exactIntegers ? parseExact : (text) => JSON.parse(text) as unknown;
    if (options.headers && !areHeaders(options.headers)) throw new TypeError('headers hold one that cannot be sent');
    this.headers = flatten(options.headers, []);
    this.deadlines = new DeadlineList(options.timeoutMs ?? 10_000);
  }

  get<T>(path: string, options?: RequestOptions): Promise<Answer<T>> {
    return this.send<T>('GET', path, this.headers, null, options);
  }

  post<T>(path: string, body: Json | URLSearchParams, options?: RequestOptions): Promise<Answer<T>> {
    const form = body instanceof URLSearchParams;
    const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
    const headers = this.headers.concat('content-type', type);
    return this.send<T>('POST', path, headers, form ? body.toString() : JSON.stringify(body), options);
  }

  async close(): Promise<void> {
    await this.connections.close();
    this.deadlines.stop();
    for (const list of this.otherDeadlines.values()) list.stop();
  }

  private send<T>(
    method: 'GET' | 'POST',
    path: string,
    base: string[],
    body: string | null,
    options: RequestOptions | undefined,
  ): Promise<Answer<T>> {
    return new Promise((resolve, reject) => {
      let headers = base;
      let sendable = PATH.test(path);
      let deadlines = this.deadlines;
      let signal: AbortSignal | undefined;
      if (options !== undefined) {
        if (options.etag !== undefined) {
          headers = headers.concat('if-none-match', options.etag);
          sendable &&= VALUE.test(options.etag);
        }
        if (options.headers !== undefined) {
          headers = flatten(options.headers, headers.slice());
          sendable &&= areHeaders(options.headers);
        }
        if (options.timeoutMs !== undefined) deadlines = this.deadlinesOf(options.timeoutMs);
        signal = options.signal;
        if (signal?.aborted) {
          reject(abortedUnsent(method));
          return;
        }
      }
      const done = resolve as (answer: Answer<unknown>) => void;
      const permit = this.limitedAs === undefined ? undefined : this.permitOf(this.limitedAs, method, path, options);
      const call = new Call(
        { method, path, headers, body },
        options?.lane ?? laneOf(path),
        options?.parse ?? this.parse,
        this.connections,
        this.settings,
        deadlines,
        signal,
        done,
        reject,
      );
      if (permit instanceof Promise) {
        permit.then(
          (given) => this.launch(call, given, deadlines, sendable),
          (thrown: Error) => reject(signal?.aborted ? abortedUnsent(method) : thrown),
        );
        return;
      }
      this.launch(call, permit, deadlines, sendable);
    });
  }

  /** Its time begins here: a permit that another thread has to be asked for does not count. */
  private launch(call: Call, permit: Permit | undefined, deadlines: DeadlineList, sendable: boolean): void {
    call.permit = permit;
    deadlines.add(call);
    if (!call.listen()) return;
    // Seen to here, where a message can be made that does not repeat what was wrong.
    if (sendable) this.connections.send(call);
    else call.refuseToSend();
  }

  private permitOf(
    name: string,
    method: string,
    path: string,
    options: RequestOptions | undefined,
  ): Permit | undefined | Promise<Permit | undefined> {
    return permitFor(name, { method, path, id: options?.id, signal: options?.signal });
  }

  private deadlinesOf(timeoutMs: number): DeadlineList {
    if (timeoutMs === this.deadlines.timeoutMs) return this.deadlines;
    let list = this.otherDeadlines.get(timeoutMs);
    if (!list) this.otherDeadlines.set(timeoutMs, (list = new DeadlineList(timeoutMs)));
    return list;
  }
}

const abortedUnsent = (method: string): UpstreamError =>
  new UpstreamError(`${method}: aborted before it was sent`, { failure: 'aborted', retryable: true });

/** A path, not a whole address (which may hold a password), in characters that HTTP allows; so for the headers. */
const PATH = /^\/[\x21-\xff]*$/;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that are not the caller's to set: undici refuses them. */
const RESERVED = /^(transfer-encoding|connection|keep-alive|upgrade|expect|content-length|host)$/i;

function areHeaders(headers: Record<string, string>): boolean {
  for (const name in headers) {
    if (!NAME.test(name) || RESERVED.test(name) || !VALUE.test(headers[name]!)) return false;
  }
  return true;
}

/** Appends headers to undici's flat list, the cheapest form it takes. */
function flatten(headers: Record<string, string> | undefined, into: string[]): string[] {
  for (const name in headers) into.push(name, headers[name]!);
  return into;
}
