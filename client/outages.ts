/**
 * Failures of a connection to PostgreSQL: which are of the network, and what people are told of one. Asked by
 * `connections.ts`.
 */

/** The socket failed, before PostgreSQL has said anything. */
export function isNetworkError(error: unknown): boolean {
  return /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)/.test(String((error as { code?: unknown }).code));
}

/** The cause in a few words: several addresses of one name fail with one message each and none of their own. */
export function outageText(error: unknown): string {
  const message = error instanceof Error ? error.message.replace(/^PostgreSQL does not answer: ?/, '') : String(error);
  if (message !== '') return message;
  const inner = error instanceof Error && error.cause instanceof AggregateError ? error.cause.errors : [];
  return inner[0] instanceof Error ? inner[0].message : 'it does not answer';
}
