/**
 * The roster on the real PostgreSQL: slots, splits that move no row, and counts that every change keeps. The parts
 * share one database.
 */
import './roster/splits';
import './roster/shifts';
import './roster/counts';
