/** From any failure to a message and an exit status: 1 it failed, 2 it was used wrongly. Called once, by `main.ts`. */
import { explain as explainCommon, type Explained } from '../client/explain';

/** Arguments that cannot be. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Errors of the development stack, by their names: its code is loaded by `longwatch dev` only. */
const DEV = ['AlreadyRunningError', 'PortTakenError', 'TemporalNotFoundError', 'DevServerError'];

export function explain(thrown: unknown): Explained {
  if (thrown instanceof UsageError) return { message: thrown.message, status: 2, unexpected: false };
  if (thrown instanceof Error && DEV.includes(thrown.name)) {
    return { message: thrown.message, status: 1, unexpected: false };
  }
  return explainCommon(thrown);
}
