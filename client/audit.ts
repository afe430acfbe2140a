/**
 * The one way of every operator's command: `recorded` where its effect is a statement of ours, which commits together
 * with its row of the audit; `announced` where Temporal carries it out, or several transactions, so the row comes first
 * and its outcome is noted after. Called by the handles of trackers, buffers, jobs, nodes and durable activities; read
 * by `Longwatch.audit`.
 *
 * A process that ends between the two leaves a row without an outcome: what was commanded may have been done.
 */
import { noteOutcome, writeAudit, type Actor, type Outcome } from '../activities/lib/audit';
import type { Queryable, Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import type { Json } from '../workflows/lib/json';
import { errorMessage, storable } from '../workflows/lib/text';
import type { Connections } from './connections';
import { cursorOf, isBigint, pageOf, pageSize, placeOf, type Page } from './page';
import type { Setting } from './settings';
import {
  BufferGoneError,
  BufferStoppedError,
  ChangedError,
  EncodingMismatchError,
  JobGoneError,
  JobStoppedError,
  LongwatchError,
  TrackerGoneError,
  TrackerStoppedError,
} from './errors';
import { iso } from './iso';

/** Every command takes them. */
export interface CommandOptions {
  /** The reason, for `longwatch audit`. */
  why?: string;
}

/** The options of `set`. */
export interface SetOptions extends CommandOptions {
  /**
   * Sets only where this holds of the options as they are then, and nobody comes in between: `(now) => same(now, read)`
   * for what `config()` has answered before. @default it is set whatever they are
   */
  onlyIf?: (now: readonly Setting[]) => boolean;
}

/** A command as the audit lists it. */
export interface Command {
  /** `node drain`. */
  readonly what: string;
  /** Kind and name: `tracker/characters`. */
  readonly subject: string;
  readonly before?: Json;
  readonly after?: Json;
  readonly why?: string;
}

/** The end of a command that was carried out. */
export interface Carried<T> {
  readonly result: T;
  readonly before?: Json;
  readonly after?: Json;
  /** False: it was so already. @default true */
  readonly changed?: boolean;
}

/** A command whose effect is in PostgreSQL: both or neither. Nothing is listed of one that fails: nothing was done. */
export function recorded<T>(
  connections: Connections,
  command: Command,
  work: (db: Queryable) => Promise<Carried<T>>,
): Promise<T> {
  return connections.transaction(async (db) => {
    const carried = await work(db);
    const before = carried.before ?? command.before;
    const after = carried.after ?? command.after;
    await writeAudit(db, { ...connections.actor, ...command, before, after }, outcomeOf(carried));
    return carried.result;
  });
}

/** A command that another server carries out. Without its row it is not sent. */
export async function announced<T>(
  connections: Connections,
  command: Command,
  effect: () => Promise<Carried<T>>,
): Promise<T> {
  const number = await connections.transaction((db) => writeAudit(db, { ...connections.actor, ...command }));
  const note = (outcome: Outcome, more: { after?: Json; error?: string }): Promise<void> =>
    // It is done, or not: that its outcome could not be noted changes neither. The row says that it is not known.
    connections.transaction((db) => noteOutcome(db, number, outcome, more)).catch(() => undefined);
  let carried: Carried<T>;
  try {
    carried = await effect();
  } catch (error) {
    await note(failureOf(error), { error: errorMessage(error) });
    throw error;
  }
  await note(outcomeOf(carried), { after: carried.after });
  return carried.result;
}

const outcomeOf = ({ changed }: Carried<unknown>): Outcome => (changed === false ? 'unchanged' : 'done');

/** Nothing was done: there is no workflow that could have done it, or it was not sent. */
const NOT_DONE = [
  ...[TrackerStoppedError, TrackerGoneError, JobStoppedError, JobGoneError, BufferStoppedError, BufferGoneError],
  ...[EncodingMismatchError, ChangedError],
];

/** An error that says what is wrong with the command has done nothing; of all others that is not sure. */
function failureOf(error: unknown): Outcome {
  if (error instanceof LongwatchError && error.usage) return 'refused';
  return NOT_DONE.some((kind) => error instanceof kind) ? 'refused' : 'unknown';
}

// ── Reading it ──

export interface AuditRow extends Command, Actor {
  number: string;
  at: string;
  /**
   * `done`; `unchanged`: it was so already; `refused`; `unknown`: no answer came, and it may have been done; null: it
   * goes on, or the process that sent it has ended before the answer.
   */
  outcome: Outcome | null;
  error?: string;
}

export interface AuditOptions {
  /** `tracker/characters`; all of a kind (`tracker`), or all of a name (`characters`). */
  subject?: string;
  /** Only what was commanded since then. */
  since?: Date;
  /** @default 100 */
  limit?: number;
}

export interface AuditPageOptions extends AuditOptions {
  /** A page's `next`. */
  after?: string;
}

/** Rows that were written at once may be numbered in another order than by their times. Milliseconds. */
const CLOCK_MS = 60_000;

/** $1: a subject; $2: since when. */
const OF_SUBJECT = `($1::text is null or subject = $1 or starts_with(subject, $1 || '/') or split_part(subject, '/', 2) = $1)
           and ($2::float8 is null or at >= to_timestamp($2 / 1000))`;

const READ: Statement = {
  name: 'client-audit',
  text: `select number::text, ${ms('at')} as at, actor, via, what, subject, before, after, why, outcome, error
         from longwatch.audit a
         where ${OF_SUBJECT}
         order by a.number desc limit $3`,
};

/** Rows that one page looks through, at most: those of other subjects are among them. */
const LOOKED = 10_000;
/** Behind $3; $4 are looked through. */
const PAGE: Statement = {
  name: 'client-audit-page',
  text: `select number::text, ${ms('at')} as at, actor, via, what, subject, before, after, why, outcome, error
         from (select * from longwatch.audit where number < $3::bigint order by number desc limit $4) a
         where ${OF_SUBJECT}
         order by a.number desc limit $5`,
};
/** Asked where a page is not full: whether it has seen all, and else up to which row. */
const PAGE_LOOKED: Statement = {
  name: 'client-audit-looked',
  text: `select count(*)::int as looked, min(number)::text as last, ${ms('min(at)')} as at
         from (select number, at from longwatch.audit where number < $1::bigint order by number desc limit $2) looked`,
};
const NEWEST = '9223372036854775807';

/**
 * The newest first, in parts. A page may have fewer rows than were asked for, where those of the subject are few.
 * @throws InvalidCursorError
 */
export async function pageOfAudit(connections: Connections, options: AuditPageOptions): Promise<Page<AuditRow>> {
  const from = placeOf(options.after, isBigint) ?? NEWEST;
  const size = pageSize(options.limit);
  const rows = await connections.read<RawRow>(PAGE, [...wanted(options), from, LOOKED, size + 1]);
  const page = pageOf(rows, size, toRow, ({ number }) => number);
  if (page.next !== null) return page;
  type Looked = { looked: number; last: string; at: number };
  const [seen] = await connections.read<Looked>(PAGE_LOOKED, [from, LOOKED]);
  const isAll = seen!.looked < LOOKED || seen!.at < (options.since?.getTime() ?? -Infinity) - CLOCK_MS;
  return { items: page.items, next: isAll ? null : cursorOf(seen!.last) };
}

/** The newest first. */
export async function readAudit(connections: Connections, options: AuditOptions = {}): Promise<AuditRow[]> {
  return (await connections.read<RawRow>(READ, [...wanted(options), options.limit ?? 100])).map(toRow);
}

const wanted = ({ subject, since }: AuditOptions): unknown[] => [
  subject === undefined ? null : storable(subject),
  since?.getTime() ?? null,
];

interface RawRow extends Omit<AuditRow, 'at' | 'before' | 'after' | 'why' | 'error'> {
  [column: string]: unknown;
  at: number;
  before: Json;
  after: Json;
  why: string | null;
  error: string | null;
}

function toRow({ at, before, after, why, error, ...row }: RawRow): AuditRow {
  return {
    ...row,
    at: iso(at),
    ...(before === null ? {} : { before }),
    ...(after === null ? {} : { after }),
    ...(why === null ? {} : { why }),
    ...(error === null ? {} : { error }),
  };
}
