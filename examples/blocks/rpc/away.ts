/** A node that is away is waited for: what it was asked for did not fail. Used by `longwatch.config.ts`. */
import { HoldError, UpstreamError } from 'longwatch/upstream';

const AGAIN_MS = 1_000;
/** From whatever stands in front of a node that restarts. */
const AWAY = new Set([502, 503]);

/** @throws HoldError in place of what says that nobody is there. */
export async function holdWhileAway<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof UpstreamError && (error.failure === 'closed' || AWAY.has(error.status))) {
      throw new HoldError(`The node is away: ${error.message}`, { afterMs: AGAIN_MS, cause: error });
    }
    throw error;
  }
}
