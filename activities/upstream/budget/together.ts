/**
 * A run that spends from several buckets: all are taken or none, so that nothing is held that cannot be used. Called by
 * the dispatcher, which lets the member wait in the line of the bucket that has none; everybody else goes on.
 */
import type { Account, Ticket } from './account';

/** Tickets in the order of the accounts, or the first account that has nothing. */
export function reserveAll(accounts: readonly Account[]): Ticket[] | Account {
  const taken: Ticket[] = [];
  for (const [i, account] of accounts.entries()) {
    if (!account.may()) {
      taken.forEach((ticket, n) => accounts[n]!.release(ticket));
      return accounts[i]!;
    }
    taken.push(account.reserve());
  }
  return taken;
}
