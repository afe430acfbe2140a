/**
 * Errors and their causes, which a user's code or a library may have hung on each other in a circle: the SDK follows
 * them without an end when a workflow fails with one, and its task would fail again and again. Pure. Used by `saga.ts`.
 */

/** Far more than Temporal and a user wrap round an error. */
const DEPTH = 50;

/** The message of the innermost cause: what Temporal wraps round it says only that an activity failed. */
export function rootMessage(error: unknown): string {
  const root = chainOf(error).at(-1);
  try {
    return root instanceof Error ? String(root.message) : String(root);
  } catch {
    return 'something was thrown that cannot be put into words';
  }
}

/**
 * The same error as a rule. If its causes come round again or have no end, the last of them that can be told is left
 * without one.
 */
export function withoutCircle(error: unknown): unknown {
  const chain = chainOf(error);
  const last = chain.at(-1);
  if (!(last instanceof Error) || last.cause === undefined || !(last.cause instanceof Error)) return error;
  if (Reflect.set(last, 'cause', undefined)) return error;
  // It is frozen: then its words are all that can be kept.
  return new Error(rootMessage(chain[0]));
}

/** From the error to its innermost cause that has not been met before. */
function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [error];
  for (let at = error; chain.length < DEPTH && at instanceof Error && at.cause instanceof Error;) {
    at = at.cause;
    if (chain.includes(at)) break;
    chain.push(at);
  }
  return chain;
}
