/**
 * The faults that a node's answer to one call of a batch may have. A fault of the whole exchange (429, 500, no
 * connection, not JSON) stays what `longwatch/upstream` makes of it: `HoldError` and `UpstreamError`.
 */

/**
 * - `refused`: the node answered with an error of its own.
 * - `missing`: the batch was answered, this call was not, however often it was asked again.
 * - `null`: the node says that it has no such thing (yet).
 * - `malformed`: an answer that is not what the method returns.
 * - `too large`: this call alone is more than the node, or we, can take.
 */
export type RpcFailure = 'refused' | 'missing' | 'null' | 'malformed' | 'too large';

export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly failure: RpcFailure;
  /** The JSON-RPC error code, where the node sent one. */
  readonly code: number | undefined;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(message: string, options: { failure: RpcFailure; code?: number; retryable?: boolean }) {
    super(message);
    this.failure = options.failure;
    this.code = options.code;
    this.retryable = options.retryable ?? true;
  }
}

/** An error of JSON-RPC, in the one form that the rest of the code knows. */
export interface RpcErrorObject {
  code: number;
  message: string;
  /** How long to stay away, where the node says so. */
  afterMs?: number;
}

/**
 * The error in an answer, whatever form it has: an object by the standard, a text in its place
 * (`{"error": "rate limited"}`), a gateway's own (`{"message": "…"}`). Undefined: it is none.
 */
export function errorIn(item: unknown): RpcErrorObject | undefined {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined;
  const { error, message, result } = item as { error?: unknown; message?: unknown; result?: unknown };
  if (typeof error === 'string' && error !== '') return { code: 0, message: error };
  if (typeof error === 'object' && error !== null) return readError(error as Record<string, unknown>);
  if (result === undefined && typeof message === 'string' && message !== '') return { code: 0, message };
  return undefined;
}

function readError({ code, message, data }: Record<string, unknown>): RpcErrorObject | undefined {
  if (code === undefined && message === undefined) return undefined;
  const seconds = (data as { rate?: { backoff_seconds?: unknown } } | null | undefined)?.rate?.backoff_seconds;
  return {
    code: Number.isInteger(Number(code)) ? Number(code) : 0,
    message: typeof message === 'string' ? message : '',
    ...(typeof seconds === 'number' && seconds > 0 ? { afterMs: seconds * 1_000 } : {}),
  };
}

/** Codes that stay what they are when asked again: parse error, invalid request, no such method, invalid parameters. */
const FINAL_CODES = new Set([-32700, -32600, -32601, -32602]);
const METHOD_NOT_FOUND = -32601;
/** EIP-1474's 'method not supported'. */
const METHOD_NOT_SUPPORTED = -32004;

/** That the node does not have the method at all. */
export function isUnknownMethod({ code, message }: { code: number | undefined; message: string }): boolean {
  if (code === METHOD_NOT_FOUND || code === METHOD_NOT_SUPPORTED) return true;
  return /(unsupported|unknown) method|method\b.{0,60}\b(not (found|supported|available|allowed|whitelisted)|does not exist)/i.test(
    message,
  );
}

/** 'Too fast' in the words of the nodes and gateways in use. */
const TOO_FAST = [
  /rate.?limit|rate (is )?exceeded|too many requests|throttl|slow down/i,
  /(request|call)s? (count|limit|rate)\b.{0,20}(exceeded|exhausted|reached)/i,
  /(compute units?|requests|calls|rps|credits?).{0,20}per (second|minute|day)|allowed rps/i,
  /exceed(s|ed)? .{0,30}\b(quota|capacity|credits?|throughput)|(quota|capacity|credits?|throughput)\b.{0,30}(exceeded|exhausted|reached)/i,
];

/** 'Too much at once': a range too wide, too many results, a batch too long, an answer too large. */
const TOO_MUCH = [
  /ranges? (is |are )?(too|over|above|wider|larger|greater|more|limit)|ranges? of more|(max(imum)?|exceeds?|exceeded) .{0,20}range/i,
  /(limited|limit the query) to (a |an |at most )?[\d,]+k? ?(blocks?|range)|up to (a |an )?[\d,]+k? blocks?/i,
  /blocks? distance|too many blocks/i,
  /more than [\d,]+ (results|logs)|too many (results|logs)|(max(imum)?|exceeds?|exceeded).{0,20} (results|logs)\b/i,
  /(response|result)( size| body)? (is |was )?(exceed(s|ed)?|too)|(request|payload|body).{0,20}too (large|big)/i,
  /\bbatch(es)?\b.{0,30}\b(size|limit|large|long|big|exceed\w*|max\w*|many|more than|not (allowed|supported))|(size|limit|max\w*|many|exceed\w*|more than)\b.{0,40}\bbatch/i,
  /query timeout|timed? ?out/i,
];

/** 'Too much at once' in the words of the nodes in use. */
export function isTooLarge({ message }: RpcErrorObject): boolean {
  return TOO_MUCH.some((words) => words.test(message));
}

/**
 * Rate limits that come as an answer instead of a 429. Words about a batch or a range count first: 'exceeded maximum
 * number of requests in a batch' does not ask anybody to wait. -32005 is EIP-1474's 'limit exceeded', which nodes use
 * for both: their words decide.
 */
export function isRateLimit(error: RpcErrorObject): boolean {
  if (error.code === 429) return true;
  return !isTooLarge(error) && TOO_FAST.some((words) => words.test(error.message));
}

/** For people, without what may hold a key: addresses are cut out, and the rest is short. */
export function describeRefusal(method: string, { code, message }: RpcErrorObject): string {
  return `${method}: the node refused (${code}): ${message.replace(/\w+:\/\/\S+/g, '…').slice(0, 200)}`;
}

export function refusal(method: string, error: RpcErrorObject): RpcError {
  return new RpcError(describeRefusal(method, error), {
    failure: isTooLarge(error) ? 'too large' : 'refused',
    code: error.code,
    retryable: !FINAL_CODES.has(error.code),
  });
}
