/** A member that joins an operation, as its agenda (`agenda.ts`) must know it. Made by `admit.ts`. */

/** The facts about it, epoch milliseconds by the agenda's clock. */
export interface Joining {
  /** 0 to 1, from the hash of its id. */
  share: number;
  /**
   * Since when the operation is to run for it: when it was added, or when the operation was declared or enabled, if
   * that was later.
   */
  addedAt: number;
  /** The last run, successful or not; undefined: none yet. */
  ranAt?: number;
  /** Not before this (an expiry, a hold). */
  notBefore?: number;
  /** Right then: a retry that the definition timed. */
  exactly?: boolean;
}
