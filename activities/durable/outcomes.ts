/**
 * Why a write was refused, and what follows: the one table of reasons. The reasons are made by `longwatch.fence_reason`
 * (SQL, in the statement that compares); `execute.ts` carries the outcome out.
 */

/**
 * - `hand back`: the claim is still ours, only not good enough to write: give it up, so that the next attempt runs
 *   under the authority of now.
 * - `drop`: somebody else has it; leave it alone.
 * - `discard`: nobody can use the result any more.
 * - `raise`: not a refusal but an error.
 */
export type Outcome = 'hand back' | 'drop' | 'discard' | 'raise';

export const OUTCOMES = {
  lease_expired: 'hand back',
  lease_missing_expiry: 'hand back',
  run_token_rotated: 'hand back',
  owner_mismatch: 'drop',
  attempt_mismatch: 'drop',
  run_mismatch: 'drop',
  not_leased: 'drop',
  not_found: 'drop',
  run_not_found: 'discard',
  run_not_active: 'discard',
} as const satisfies Record<string, Outcome>;

export type Reason = keyof typeof OUTCOMES;

/** The consequence of a reason; anything that is not in the table is raised. */
export function outcomeOf(reason: string): Outcome {
  return Object.hasOwn(OUTCOMES, reason) ? OUTCOMES[reason as Reason] : 'raise';
}

/** A write was refused. Thrown inside a transaction, so that nothing of it is kept. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
  constructor(readonly reason: string) {
    super(`the write was refused: ${reason.replaceAll('_', ' ')}`);
  }
  get outcome(): Outcome {
    return outcomeOf(this.reason);
  }
}
