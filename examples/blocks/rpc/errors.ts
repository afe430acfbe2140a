/**
 * What can be wrong with a node's answer to one call of a batch. What is wrong with the whole exchange (429, 500, no
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

/** An error object of JSON-RPC 2.0. */
export interface RpcErrorObject {
  code: number;
  message: string;
}

/** Codes that stay what they are when asked again: parse error, invalid request, no such method, invalid parameters. */
const FINAL_CODES = new Set([-32700, -32600, -32601, -32602]);
export const METHOD_NOT_FOUND = -32601;

/**
 * Rate limits that come as an answer instead of a 429. -32005 is EIP-1474's 'limit exceeded', which some nodes also use for
 * too many results: their words decide.
 */
export function isRateLimit({ code, message }: RpcErrorObject): boolean {
  if (code === 429) return true;
  return /rate.?limit|too many requests|request count exceeded|compute units per second|throttl/i.test(message);
}

/** 'Too much at once' in the words of the nodes in use: a range too wide, too many results, a batch too long. */
export function isTooLarge({ message }: RpcErrorObject): boolean {
  return (
    /(block )?range (is )?too (wide|large)|exceed(s|ed)? (the )?max(imum)? block range|limited to (a )?[\d,]+ blocks?/i.test(
      message,
    ) ||
    /more than [\d,]+ (results|logs)|too many (results|logs)|(response|result) (size|is) (exceeded|too)/i.test(
      message,
    ) ||
    /batch (size|limit|is|of|too)|too many (requests|calls) in (a |the )?batch|(request|payload|body).{0,20}too large/i.test(
      message,
    ) ||
    /query timeout|timed? ?out/i.test(message)
  );
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
