/**
 * The one way of every operator's command: `recorded` where its effect is a statement of ours, which commits together
 * with its row of the audit; `announced` where Temporal carries it out, so the row comes first and its outcome is noted
 * after. Called by the handles of trackers, buffers, jobs, nodes and durable activities; read by `Longwatch.audit`.
 *
 * A process that ends between the two leaves a row without an outcome: what was commanded may have been done.
 */
import { noteOutcome, writeAudit, type Actor, type Outcome } from '../activities/lib/audit';
import type { Queryable, Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import type { Json } from '../workflows/lib/json';
import { errorMessage, storable } from '../workflows/lib/text';
import type { Connections } from './connections';
import {
  BufferGoneError,
  BufferStoppedError,
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
  EncodingMismatchError,
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

const READ: Statement = {
  name: 'client-audit',
  text: `select number::text, ${ms('at')} as at, actor, via, what, subject, before, after, why, outcome, error
         from longwatch.audit a
         where ($1::text is null or subject = $1 or starts_with(subject, $1 || '/') or split_part(subject, '/', 2) = $1)
           and ($2::float8 is null or at >= to_timestamp($2 / 1000))
         order by a.number desc limit $3`,
};

/** The newest first. */
export async function readAudit(connections: Connections, options: AuditOptions = {}): Promise<AuditRow[]> {
  const { subject, since, limit = 100 } = options;
  type Row = Omit<AuditRow, 'at' | 'before' | 'after' | 'why' | 'error'> & {
    at: number;
    before: Json;
    after: Json;
    why: string | null;
    error: string | null;
  };
  const rows = await connections.read<Row>(READ, [
    subject === undefined ? null : storable(subject),
    since?.getTime() ?? null,
    limit,
  ]);
  return rows.map(({ at, before, after, why, error, ...row }) => ({
    ...row,
    at: iso(at),
    ...(before === null ? {} : { before }),
    ...(after === null ? {} : { after }),
    ...(why === null ? {} : { why }),
    ...(error === null ? {} : { error }),
  }));
}
