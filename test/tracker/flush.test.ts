/**
 * The flush of a node on the real PostgreSQL: what is stored in the end whatever fails in between, whom a row, a pool
 * or a lock harms and whom it does not, and what of its transaction others have to wait for. The parts share one
 * database (`flush/pools.ts`).
 */
import './flush/refused';
import './flush/locks';
import './flush/followed';
import './flush/histories';
import './flush/buckets';
