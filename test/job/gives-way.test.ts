/**
 * A tick among other people's transactions and rows that fail, on a real PostgreSQL: a chunk gives way, a row that is
 * held is put off, the player is never the victim, a worker can always stop; a row that fails is found whatever its
 * error is, and all others advance. The parts share one database.
 */
import './gives-way/held';
import './gives-way/failing';
import './gives-way/passes';
