/**
 * The store's writes, on the real PostgreSQL: array literals with every character, the rule of unchanged values,
 * `longwatch.pool_of` beside its twin in TypeScript, stamps and tombstones. The parts share one database.
 */
import './store/values';
import './store/members';
