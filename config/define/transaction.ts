/**
 * The transaction that an activity's or a handler's code writes with. Opened and ended by
 * `activities/durable/transaction.ts`.
 */
import type { QueryResult, QueryResultRow } from 'pg';

/**
 * The code of an activity gets `query` as of `pg`, without what begins or ends a transaction, or stays behind in the
 * session.
 */
export interface Transaction {
  query<R extends QueryResultRow = QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<R>>;
}
