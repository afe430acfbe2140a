/**
 * A run that spends from several buckets: all are taken or none, so that nothing is held that cannot be used. Called by
 * the dispatcher, which lets the member wait in the line of the bucket that has none; everybody else goes on.
 */
import type { Account, Ticket } from './account';

/** Tickets in the order of the accounts, or the first account that has nothing. */
export function reserveAll(accounts: readonly Account[]): Ticket[] | Account {
  // Nothing happens between the two lines: asking takes nothing, so there is nothing to give back.
  const lacks = accounts.find((account) => !account.may());
  return lacks ?? accounts.map((account) => account.reserve());
}
