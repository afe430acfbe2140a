/**
 * JSON-RPC in batches over `longwatch/upstream`: many calls in few requests, as many in each as the node takes. A batch
 * that is too large (413, 504, a time-out, an answer past `maxBodyBytes`, the node's own words) is halved and the size
 * remembered; what a node leaves out of its answer is asked again. Used by `chain.ts`, which knows what the methods
 * return.
 */
import type { Json } from 'longwatch';
import { createUpstream, HoldError, UpstreamError, type Upstream } from 'longwatch/upstream';
import { BatchSize } from './batch-size';
import { describeRefusal, errorIn, isRateLimit, isTooLarge, refusal, RpcError, type RpcErrorObject } from './errors';

export interface RpcClientOptions {
  /** http(s), with a path (which may be a key) and a query, if need be. */
  url: string;
  /** Calls in one request at most, before anything is learned. @default 250 */
  batchSize?: number;
  /** From sending a batch to the end of its answer. @default 20 s */
  timeoutMs?: number;
  /** A longer answer is not read to its end: the batch is halved. @default 32 MiB */
  maxBodyBytes?: number;
  /** How long to stay away after a rate limit that does not say. @default 5 s */
  defaultHoldMs?: number;
  /** @default 8 */
  connections?: number;
}

export interface RpcCall {
  method: string;
  params: Json[];
}

/** The outcome of one call. An error here is of that call alone; the others of its batch have their answers. */
export type RpcOutcome = { ok: true; value: Json } | { ok: false; error: RpcError };

/** How often what a node left out of its answer is asked again. */
const ASK_AGAIN = 3;
/** Time-outs in one go, each at half the size, before the node counts as not answering. */
const MOST_TIMEOUTS = 3;

export class RpcClient {
  private readonly upstream: Upstream;
  private readonly path: string;
  private readonly size: BatchSize;
  private readonly defaultHoldMs: number;
  private lastId = 0;

  /** Throws TypeError, without repeating it, for an address that is none. */
  constructor(options: RpcClientOptions) {
    const { origin, path, authorization } = parseAddress(options.url);
    this.path = path;
    this.defaultHoldMs = options.defaultHoldMs ?? 5_000;
    this.upstream = createUpstream({
      origin,
      headers: authorization === undefined ? undefined : { authorization },
      connections: options.connections ?? 8,
      timeoutMs: options.timeoutMs ?? 20_000,
      maxBodyBytes: options.maxBodyBytes ?? 32 * 1024 * 1024,
      defaultHoldMs: this.defaultHoldMs,
      // Some say 'batch too large' with the status of a rate limit: waiting would not help.
      judge: ({ status, body }) => (status === 429 && tooMuchIn(body) ? false : undefined),
    });
    this.size = new BatchSize(options.batchSize ?? 250);
  }

  /** One call. @throws HoldError, UpstreamError, RpcError */
  async call(method: string, params: Json[], signal?: AbortSignal): Promise<Json> {
    const [outcome] = await this.batch([{ method, params }], signal);
    if (!outcome!.ok) throw outcome!.error;
    return outcome!.value;
  }

  /**
   * Any number of calls, in as many requests as it takes, one after another. The outcomes are in the order of the
   * calls.
   * @throws HoldError where the node asks to be left alone, UpstreamError where it does not answer as a whole.
   */
  async batch(calls: readonly RpcCall[], signal?: AbortSignal): Promise<RpcOutcome[]> {
    const outcomes = new Array<RpcOutcome>(calls.length);
    let open = calls.map((_, index) => index);
    for (let round = 0; open.length > 0; round++) {
      await this.ask(calls, open, outcomes, signal);
      open = open.filter((index) => outcomes[index] === undefined);
      if (round < ASK_AGAIN) continue;
      for (const index of open) outcomes[index] = { ok: false, error: leftOut(calls[index]!) };
      break;
    }
    return outcomes;
  }

  async close(): Promise<void> {
    await this.upstream.close();
  }

  /** Asks for `open` in requests of the size that works, and writes what is answered to `outcomes`. */
  private async ask(
    calls: readonly RpcCall[],
    open: readonly number[],
    outcomes: RpcOutcome[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let timeouts = 0;
    for (let at = 0; at < open.length;) {
      const part = open.slice(at, at + this.size.current);
      const tooMuch = await this.request(calls, part, outcomes, signal);
      if (tooMuch === undefined) {
        this.size.worked(part.length);
        at += part.length;
        continue;
      }
      // A node that hangs does not ask for less.
      if (tooMuch instanceof UpstreamError && tooMuch.failure === 'timeout' && ++timeouts >= MOST_TIMEOUTS)
        throw tooMuch;
      this.size.tooLarge(part.length);
    }
  }

  /** One request. @returns why it was too much and has to be halved; else undefined. */
  private async request(
    calls: readonly RpcCall[],
    part: readonly number[],
    outcomes: RpcOutcome[],
    signal: AbortSignal | undefined,
  ): Promise<UpstreamError | RpcError | undefined> {
    const first = this.lastId + 1;
    this.lastId += part.length;
    const body = part.map((index, k) => ({ jsonrpc: '2.0', id: first + k, ...calls[index]! }));
    let answer: unknown;
    try {
      // A single call is sent as such: some nodes take no batch at all.
      answer = (await this.upstream.post<unknown>(this.path, body.length === 1 ? body[0]! : body, { signal })).body;
    } catch (error) {
      answer = answerIn(error);
      if (answer === undefined) return this.tooMuch(error, calls, part, outcomes);
    }
    if (!Array.isArray(answer)) return this.single(answer, calls, part, first, outcomes);
    let ours = 0;
    let stray: unknown;
    for (const item of answer as unknown[]) {
      const index = part[idOf(item) - first];
      if (index !== undefined) {
        ours++;
        outcomes[index] = this.outcomeOf(item as Answered, calls[index]!);
      } else if (errorIn(item)) {
        stray ??= item;
      }
    }
    // A list of nothing but an error without an id: the whole batch is refused.
    return stray !== undefined && ours === 0 ? this.single(stray, calls, part, first, outcomes) : undefined;
  }

  /** @returns the error, if less at once may do. @throws it, if that is not the matter. */
  private tooMuch(
    error: unknown,
    calls: readonly RpcCall[],
    part: readonly number[],
    outcomes: RpcOutcome[],
  ): UpstreamError | undefined {
    if (!isTooMuch(error)) throw error;
    if (part.length > 1) return error;
    if (error.retryable) throw error;
    const message = `${calls[part[0]!]!.method}: more than can be had in one answer (${error.message})`;
    outcomes[part[0]!] = { ok: false, error: new RpcError(message, { failure: 'too large', retryable: false }) };
    return undefined;
  }

  /** One object: the answer to one call, or an error in place of a batch's answers. */
  private single(
    answer: unknown,
    calls: readonly RpcCall[],
    part: readonly number[],
    first: number,
    outcomes: RpcOutcome[],
  ): RpcError | undefined {
    const index = part[0]!;
    const error = errorIn(answer);
    if (part.length === 1 && (error || idOf(answer) === first)) {
      outcomes[index] = this.outcomeOf(answer as Answered, calls[index]!);
      return undefined;
    }
    if (!error) {
      throw new RpcError(`${calls[index]!.method}: an answer that is not JSON-RPC`, { failure: 'malformed' });
    }
    this.holdIfLimited(error);
    const refused = refusal(calls[index]!.method, error);
    // Some refuse batches with 'invalid request': smaller ones, down to a single call, are worth a try.
    if (part.length > 1 && (refused.failure === 'too large' || refused.code === -32600)) return refused;
    throw refused;
  }

  private outcomeOf(item: Answered, { method }: RpcCall): RpcOutcome {
    const refused = errorIn(item);
    if (refused) {
      this.holdIfLimited(refused);
      return { ok: false, error: refusal(method, refused) };
    }
    if (item.result === undefined) {
      const error = new RpcError(`${method}: an answer with neither result nor error`, { failure: 'malformed' });
      return { ok: false, error };
    }
    return { ok: true, value: item.result };
  }

  private holdIfLimited(error: RpcErrorObject): void {
    if (!isRateLimit(error)) return;
    throw new HoldError(describeRefusal('batch', error), { afterMs: error.afterMs ?? this.defaultHoldMs });
  }
}

interface Answered {
  id?: unknown;
  result?: Json;
}

function idOf(item: unknown): number {
  const id = (item as Answered | null)?.id;
  return typeof id === 'number' ? id : typeof id === 'string' ? Number(id) : NaN;
}

/** Statuses of gateways that say who may ask: their words are about that, unless they speak of a limit. */
const ABOUT_ACCESS = new Set([401, 402, 403, 404]);

/** The JSON-RPC in the body of a refused request: many providers say 'too large' and 'too fast' with 400 or 500. */
function answerIn(error: unknown): unknown {
  if (!(error instanceof UpstreamError) || error.failure !== 'status') return undefined;
  const { body } = error;
  const refused = Array.isArray(body) ? body.map(errorIn).find((each) => each) : errorIn(body);
  if (!refused) return undefined;
  const limit = isTooLarge(refused) || isRateLimit(refused);
  return limit || !ABOUT_ACCESS.has(error.status) ? body : undefined;
}

function tooMuchIn(body: unknown): boolean {
  const refused = errorIn(Array.isArray(body) ? body[0] : body);
  return refused !== undefined && isTooLarge(refused);
}

function isTooMuch(error: unknown): error is UpstreamError {
  if (!(error instanceof UpstreamError)) return false;
  return error.failure === 'timeout' || error.failure === 'too large' || error.status === 413 || error.status === 504;
}

function leftOut({ method }: RpcCall): RpcError {
  return new RpcError(`${method}: left out of the answer ${ASK_AGAIN + 1} times`, { failure: 'missing' });
}

function parseAddress(url: string): { origin: string; path: string; authorization: string | undefined } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) throw new TypeError('RPC_URL must be an http or https address');
  const { username, password } = parsed;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    origin: parsed.origin,
    path: parsed.pathname + parsed.search,
    authorization: credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}
