/**
 * The roster on the real PostgreSQL: slots, splits that move no row, counts that every change
 * keeps, and routes. The parts
 * share one database.
 */
import './roster/splits';
import './roster/shifts';
import './roster/counts';
import './roster/routes';
