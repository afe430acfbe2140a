/**
 * The meaning of an error of PostgreSQL for the code that met it: one table of SQLSTATEs, in which each code has
 * exactly one class. Asked by `database.ts` (what is an outage) and by all who decide whether a row, a batch or an
 * attempt is to blame. A code that the table does not know was raised by the user's own function or trigger, so it
 * belongs to the row; an error that has no code at all is our own mistake.
 */

/**
 * - `outage`: the database could not be reached, or could not work just now. Nothing was wrong with what was asked.
 * - `conflict`: two transactions in each other's way; the same again may well succeed.
 * - `cancelled`: it took longer than it may, or somebody ended it. The same again may succeed; not for ever.
 * - `row`: the data of a row is refused, other rows are not.
 * - `statement`: the statement itself cannot work, whatever the rows are.
 * - `bug`: none of these; a mistake of ours, or of the server.
 */
export type ErrorClass = 'outage' | 'conflict' | 'cancelled' | 'row' | 'statement' | 'bug';

/** Single codes first; then the class, which is the first two characters. */
const CODES: Readonly<Record<string, ErrorClass>> = {
  // A message of the protocol that the server cannot read: the same message would be refused for ever.
  '08P01': 'bug',
  // Read-only: the primary of yesterday, still behind a proxy.
  '25006': 'outage',
  // The server has ended the connection, since it was idle in a transaction.
  '25P03': 'outage',
  '25P04': 'cancelled',
  // The end of a commit was not seen.
  '40003': 'outage',
  '40002': 'row',
  '40001': 'conflict',
  '40P01': 'conflict',
  // Permission; where a policy of the table refuses one row, `classOf` says so.
  '42501': 'statement',
  '55006': 'conflict',
  '55P03': 'conflict',
  '57014': 'cancelled',
  '58000': 'outage',
  '58030': 'outage',
  // A foreign table whose server is away.
  HV00N: 'outage',
};
const CLASSES: Readonly<Record<string, ErrorClass>> = {
  '00': 'bug',
  '01': 'bug',
  '02': 'bug',
  '03': 'bug',
  '08': 'outage',
  '09': 'row',
  '0A': 'statement',
  '0B': 'bug',
  '0F': 'row',
  '0L': 'statement',
  '0P': 'statement',
  '0Z': 'statement',
  '10': 'row',
  '20': 'row',
  '21': 'row',
  '22': 'row',
  '23': 'row',
  '24': 'bug',
  '25': 'bug',
  '26': 'bug',
  '27': 'row',
  // Wrong password or role, no such database: the server is behind a closed door, and nothing that was asked has been
  // looked at.
  '28': 'outage',
  '2B': 'statement',
  '2D': 'bug',
  '2F': 'row',
  '34': 'bug',
  '38': 'row',
  '39': 'statement',
  '3B': 'bug',
  '3D': 'outage',
  '3F': 'statement',
  '40': 'conflict',
  '42': 'statement',
  // The check option of a view.
  '44': 'row',
  '53': 'outage',
  // An entry that is too large for an index, a value that is nested too deep.
  '54': 'row',
  '55': 'statement',
  '57': 'outage',
  '58': 'bug',
  '72': 'conflict',
  F0: 'outage',
  HV: 'statement',
  // Raised by a function or a trigger.
  P0: 'row',
  XX: 'bug',
};

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** Codes of the operating system, for a connection that failed. */
const NETWORK =
  /^(ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_\w+|EADDRNOTAVAIL|EMFILE|ENFILE)$/;
/** Messages that pg and its pool give without a code, when a connection is gone or could not be made. */
const CONNECTION = [
  /^Connection terminated/,
  /^Query read timeout$/,
  /^timeout exceeded when trying to connect$/,
  /^timeout expired$/,
  /^Client has encountered a connection error/,
  /^Client was closed and is not queryable/,
  /^There was an error establishing an SSL connection/,
];

/** The class of an error as pg throws it, or as `asOutage` of `database.ts` has made it. */
export function classOf(error: unknown): ErrorClass {
  if (typeof error !== 'object' || error === null) return 'bug';
  const { code, message, type, routine } = error as Record<'code' | 'message' | 'type' | 'routine', unknown>;
  if (type === 'StoreUnavailable') return 'outage';
  if (typeof code === 'string') {
    if (NETWORK.test(code)) return 'outage';
    // The socket of a server on this machine that is not up.
    if (code === 'ENOENT') return (error as { syscall?: unknown }).syscall === 'connect' ? 'outage' : 'bug';
    return SQLSTATE.test(code) ? classOfState(code, routine) : 'bug';
  }
  // One address after the other, each with an error of its own.
  if (error instanceof AggregateError) return error.errors.some((one) => classOf(one) === 'outage') ? 'outage' : 'bug';
  return typeof message === 'string' && CONNECTION.some((known) => known.test(message)) ? 'outage' : 'bug';
}

/** Not the fault of what was asked: the same again, later, may well succeed. */
export function isPassing(error: unknown): boolean {
  const kind = classOf(error);
  return kind === 'outage' || kind === 'conflict' || kind === 'cancelled';
}

/** @param routine where in the server it was raised; the message, which says it too, is in the server's language */
function classOfState(code: string, routine: unknown): ErrorClass {
  if (code === '42501' && routine === 'ExecWithCheckOptions') return 'row';
  const kind = CODES[code] ?? CLASSES[code.slice(0, 2)] ?? 'row';
  // A user's trigger or function has said so, by whatever name it found fitting. That something passes is taken at its
  // word.
  return routine === 'exec_stmt_raise' && (kind === 'statement' || kind === 'bug') ? 'row' : kind;
}
