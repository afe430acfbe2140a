/**
 * The rows of `longwatch.audit`: what operators did, one row a command. This is the only place that writes them. The
 * client's commands come here by `client/audit.ts`, which says when; a worker that adopts a database, and `migrate`,
 * write theirs themselves. `longwatch audit` reads them.
 *
 * A row must never keep a command from being done for what it holds, and must not hold a secret: every text is made
 * storable, is cut to a size, and loses what looks like a password.
 */
import { hostname, userInfo } from 'node:os';
import type { Json } from '../../workflows/lib/json';
import { storable, storableJson } from '../../workflows/lib/text';
import { run, type Queryable, type Statement } from './database';

/** The person or program that commands. */
export interface Actor {
  /** `ana@laptop`. */
  readonly actor: string;
  readonly via: 'cli' | 'client' | 'http';
}

export interface AuditEntry extends Actor {
  /** The command: `node drain`. */
  readonly what: string;
  /** Kind and name of what it was done to: `node/worker-1`. */
  readonly subject: string;
  /** The values that the command replaces, and those that it puts there. */
  readonly before?: Json;
  readonly after?: Json;
  readonly why?: string;
}

/**
 * `done`; `unchanged`: it was so already; `refused`; `unknown`: no answer came, and it may have been done. A row has
 * none while its command goes on, or because the process that sent it has ended in between.
 */
export type Outcome = 'done' | 'unchanged' | 'refused' | 'unknown';

const TEXT_BYTES = 1_000;
/** Half of what an entry of an index takes. */
const SUBJECT_BYTES = 500;
const JSON_BYTES = 8_000;

const WRITE: Statement = {
  name: 'audit-write',
  text: `insert into longwatch.audit (actor, via, what, subject, before, after, why, outcome)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning number::text`,
};
const NOTE: Statement = {
  name: 'audit-note',
  text: `update longwatch.audit set outcome = $2, after = coalesce($3, after), error = $4 where number = $1 and outcome is null`,
};

/** @returns the row's number, for {@link noteOutcome} */
export async function writeAudit(db: Queryable, entry: AuditEntry, outcome?: Outcome): Promise<string> {
  const [row] = await run<{ number: string }>(db, WRITE, [
    text(entry.actor, SUBJECT_BYTES),
    entry.via,
    text(entry.what, SUBJECT_BYTES),
    text(entry.subject, SUBJECT_BYTES),
    json(entry.before),
    json(entry.after),
    entry.why === undefined ? null : text(entry.why),
    outcome ?? null,
  ]);
  return row!.number;
}

/** Once for each row: what is noted stays. */
export async function noteOutcome(
  db: Queryable,
  number: string,
  outcome: Outcome,
  more: { after?: Json; error?: string } = {},
): Promise<void> {
  await run(db, NOTE, [number, outcome, json(more.after), more.error === undefined ? null : text(more.error)]);
}

/** The actor of a connection: as given, else LONGWATCH_ACTOR, else who runs this process, at this machine. */
export function actorOf(given: string | undefined, via: Actor['via'] = 'client'): Actor {
  return { actor: given || process.env.LONGWATCH_ACTOR || `${userName()}@${hostname()}`, via };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user may have a number and no name.
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}

const text = (given: string, limit = TEXT_BYTES): string => storable(withoutSecrets(given), limit);

function json(value: Json | undefined): string | null {
  if (value === undefined) return null;
  const written = storableJson(JSON.stringify(cleaned(value)));
  // A larger one would be hard to read as well.
  return Buffer.byteLength(written) <= JSON_BYTES ? written : JSON.stringify({ tooLarge: Buffer.byteLength(written) });
}

// ── Secrets ──

/** The password of an address, and what follows a word that announces a secret. */
const IN_ADDRESS = /(\/\/[^\s/:@]*:)\S+(?=@)/g;
const ANNOUNCED =
  /((?:password|passwd|secret|token|api[-_ ]?key|authorization)["']?\s*[=:]\s*["']?)(?:bearer\s+)?[^\s"',;&]+/gi;
const BEARER = /(bearer\s+)[\w.~+/=-]{8,}/gi;
const SECRET_NAME = /password|passwd|secret|token|api[-_]?key|authorization/i;

export function withoutSecrets(given: string): string {
  return given.replace(IN_ADDRESS, '$1***').replace(ANNOUNCED, '$1***').replace(BEARER, '$1***');
}

function cleaned(value: Json): Json {
  if (typeof value === 'string') return withoutSecrets(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET_NAME.test(name) && typeof inner === 'string' ? '***' : cleaned(inner),
    ]),
  );
}
