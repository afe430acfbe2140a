/**
 * Statements that a handler may not send through `tx`: Longwatch begins and ends that transaction, and lends its
 * connection on. A `commit` would store the effect without the note that it is done, and it would happen twice; a `set`
 * that is not local would stay with whoever has the connection next. Each statement is looked at before it is sent;
 * what the server then says it has done is looked at as well, so that what slips through fails loudly. Called by
 * `transaction.ts`.
 */
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import { codeOf } from '../lib/scan';

const ENDS = new Set(['begin', 'start', 'commit', 'end', 'abort', 'rollback', 'prepare transaction', 'discard']);
/** The command tags that the server reports for them; it reports `rollback to` as a ROLLBACK too. */
const DONE = new Set(['BEGIN', 'START', 'COMMIT', 'ROLLBACK']);
/** The rest of a SET that ends with the transaction. */
const LOCAL = new Set(['local', 'transaction', 'constraints']);

/** @throws BadValue where one of its statements is Longwatch's to send */
export function refuseNotYours(text: string): void {
  for (const words of statementsOf(text)) {
    const what = notYours(words);
    if (what !== undefined) throw refusal(what);
  }
}

/**
 * @param results of pg: one, or a list where the text had several statements
 * @throws BadValue where the server has ended or begun a transaction
 */
export function refuseEnded(text: string, results: unknown): void {
  const commands = (Array.isArray(results) ? results : [results]).map((one: { command?: unknown }) => one.command);
  const over = commands.filter((command) => DONE.has(String(command)));
  if (over.length === 0) return;
  const back = statementsOf(text).filter(isBack).length;
  if (over.length > back || over.some((command) => command !== 'ROLLBACK')) throw refusal(String(over[0]));
}

function notYours(words: string[]): string | undefined {
  const [first = '', second = ''] = words;
  if (first === 'set') return LOCAL.has(second) ? undefined : `set ${second}`;
  if (first === 'prepare') return second === 'transaction' ? 'prepare transaction' : undefined;
  return ENDS.has(first) && !isBack(words) ? first : undefined;
}

/** Back to a savepoint: the transaction goes on. */
const isBack = ([first, ...more]: string[]): boolean =>
  first === 'rollback' && more.find((word) => word !== 'work' && word !== 'transaction') === 'to';

/** The first words of each statement, in small letters. The body of a function in SQL has statements of its own. */
function statementsOf(text: string): string[][] {
  const statements: string[][] = [[]];
  let inBody = false;
  for (const { kind, text: piece } of codeOf(text)) {
    if (piece === ';' && !inBody) statements.push([]);
    const words = statements.at(-1)!;
    const word = kind === 'word' ? piece.toLowerCase() : piece;
    if (word === 'atomic' && words.at(-1) === 'begin') inBody = true;
    if (piece !== ';') words.push(word);
  }
  return statements;
}

function refusal(what: string): Error {
  return failure(
    ErrorType.BadValue,
    `${what.toUpperCase()} through tx: the transaction is begun and ended by Longwatch, together with the note that its work is done, and its ` +
      'connection is lent on; use savepoints and SET LOCAL, or a connection of your own for what must commit by itself',
  );
}
