/**
 * What an activity's or a handler's code gets to write with. Opened and ended by `activities/durable/transaction.ts`.
 */
import type { QueryResult, QueryResultRow } from 'pg';

/**
 * What an activity's code gets: `query` as of `pg`, without what begins or ends a transaction, or stays behind in the
 * session.
 */
export interface Transaction {
  query<R extends QueryResultRow = QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<R>>;
}
