/**
 * How errors are logged: by what names them, never by what they carry. A PostgreSQL error has the whole row in its
 * `detail`, the statement's values in its `where`; an HTTP library's has the request with its headers. So the log has a
 * list of what may be shown, and nothing else of an error gets there. Every logger of ours goes through `ourLog`, or is
 * made with `serializers`.
 */
import type { Logger } from 'pino';

const MOST_CAUSES = 5;
const MOST_TEXT = 4_000;
/**
 * Names of things, not contents: `code` of PostgreSQL and Node, what a constraint is called, an HTTP status, an exit.
 */
const SHOWN = [
  'code',
  'severity',
  'schema',
  'table',
  'column',
  'constraint',
  'routine',
  'status',
  'exitCode',
  'syscall',
];

interface ShownError {
  type: string;
  message: string;
  stack?: string;
  cause?: ShownError;
  errors?: ShownError[];
  [name: string]: unknown;
}

/**
 * pino's serializer of an error, also for its causes. Any other value that stands in its place is shown by its type
 * alone.
 */
export function shownError(thrown: unknown): unknown {
  if (thrown === undefined || thrown === null) return thrown;
  try {
    return shown(thrown, new Set(), 0);
  } catch {
    // Its properties throw. A line of the log must not end what writes it.
    return { type: typeof thrown, message: 'something that cannot be read' };
  }
}

/** For `pino({ serializers })`: `err` is ours, `error` the SDK's. */
export const serializers = { err: shownError, error: shownError, cause: shownError };

const OURS = Symbol('longwatch: errors are shown by a list');

/** The same logger, with errors as above: for one that somebody else has made. */
export function ourLog(log: Logger): Logger {
  if ((log as { [OURS]?: boolean })[OURS]) return log;
  return Object.assign(log.child({}, { serializers }), { [OURS]: true });
}

function shown(thrown: unknown, seen: Set<unknown>, depth: number): ShownError {
  if (!(thrown instanceof Error)) {
    return {
      type: typeof thrown,
      message: typeof thrown === 'string' ? short(thrown) : 'something that is not an error',
    };
  }
  seen.add(thrown);
  const { stack, cause } = thrown;
  const errors: unknown = (thrown as { errors?: unknown }).errors;
  const more = (next: unknown) => next !== undefined && next !== null && !seen.has(next) && depth < MOST_CAUSES;
  return {
    type: nameOf(thrown),
    message: short(String(thrown.message)),
    ...Object.fromEntries(SHOWN.flatMap((name) => plain(thrown, name))),
    stack: typeof stack === 'string' ? short(stack) : undefined,
    cause: more(cause) ? shown(cause, seen, depth + 1) : undefined,
    errors: Array.isArray(errors)
      ? errors
          .filter(more)
          .slice(0, MOST_CAUSES)
          .map((inner) => shown(inner, seen, depth + 1))
      : undefined,
  };
}

/** A failure of Temporal says in `type` what kind it is; its class says nothing. */
function nameOf(error: Error): string {
  const { type } = error as { type?: unknown };
  return short(typeof type === 'string' && type !== '' ? type : String(error.name || error.constructor.name));
}

function plain(error: Error, name: string): [string, string | number][] {
  const value = (error as unknown as Record<string, unknown>)[name];
  if (typeof value === 'number') return [[name, value]];
  return typeof value === 'string' && value !== '' ? [[name, short(value)]] : [];
}

const short = (text: string): string => (text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text);
