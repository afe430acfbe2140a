/** Whether a node lives, in SQL: by its row of `longwatch.node`. Migration 0022 says the same in its views. */

/** A node that was not heard of for this long is gone, for everybody: five of its words are missing. */
export const NODE_GONE = "interval '5 seconds'";
/** The node of the row `n` lives, by the database that is asked. */
export const NODE_LIVES = `n.ended_at is null and n.seen_at > now() - ${NODE_GONE}`;
/**
 * The node of the row `n` lives and handles the mail of the pool `p`: it has taken that since it began, and its code
 * has a `receive` for it. A node of which one of these is not said counts nothing of that mail.
 */
export const HANDLES_MAIL = `${NODE_LIVES} and n.started_at <= p.taken_at and n.placement -> 'reads' ? p.tracker`;
