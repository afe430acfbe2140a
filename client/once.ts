/**
 * Requests that are carried out once, however often they are sent: each comes with a key of its sender's, and its
 * answer is kept with the key for a day. Called by `Longwatch.once`, for the HTTP API's `Idempotency-Key`.
 *
 * The row is written before anything is done. A process that ends in between leaves it without an answer, and then
 * nobody carries it out again: whether it was done is not known, and `longwatch audit` says what was commanded.
 */
import { createHash } from 'node:crypto';
import { run, type Statement } from '../activities/lib/database';
import { storable } from '../workflows/lib/text';
import type { Connections } from './connections';
import { RequestDiffersError, RequestGoesOnError, RequestUnansweredError } from './errors';

export interface OnceOptions {
  /** The sender's name of the request. */
  key: string;
  /** The whole of it: what it asks for, and of whom. The same key with another one is refused. */
  request: string;
}

export interface Answered {
  status: number;
  body: string;
}

/** How a request has ended, and whether that is its answer from now on. */
export interface Ended extends Answered {
  /** False: nothing was done, or doing it again does no harm; so the same key may try again. */
  keep: boolean;
}

/** A request that has no answer for so long has lost its process: the longest command takes two minutes. */
const LOST_MS = 10 * 60_000;
const KEPT = `interval '1 day'`;

/** Nothing comes back where the key is there already. Old ones go first: the key may be one of them. */
const BEGIN: Statement = {
  name: 'request-begin',
  text: `insert into longwatch.request (actor, key_hash, request_hash) values ($1, $2, $3)
         on conflict (actor, key_hash) do nothing returning true as begun`,
};
const FIND: Statement = {
  name: 'request-find',
  text: `select request_hash = $3 as same, status, answer,
                begun_at < clock_timestamp() - $4::float8 * interval '1 millisecond' as lost
         from longwatch.request where actor = $1 and key_hash = $2`,
};
const ANSWER: Statement = {
  name: 'request-answer',
  text: `update longwatch.request set status = $3, answer = $4 where actor = $1 and key_hash = $2 and status is null`,
};
const FORGET: Statement = {
  name: 'request-forget',
  text: `delete from longwatch.request where actor = $1 and key_hash = $2 and status is null`,
};
/** Bounded: what is left goes with the next one. */
const PURGE: Statement = {
  name: 'request-purge',
  text: `delete from longwatch.request where (actor, key_hash) in (
           select actor, key_hash from longwatch.request where begun_at < clock_timestamp() - ${KEPT}
           order by begun_at limit 100 for update skip locked)`,
};

interface FoundRow {
  [column: string]: unknown;
  same: boolean;
  status: number | null;
  answer: string | null;
  lost: boolean;
}

/**
 * @param work does it; what it throws is thrown, and the key may be used again
 * @returns its answer, or the one that it got the first time
 * @throws RequestDiffersError; RequestGoesOnError; RequestUnansweredError
 */
export async function once(
  connections: Connections,
  { key, request }: OnceOptions,
  work: () => Promise<Ended>,
): Promise<Answered & { replayed: boolean }> {
  const id = [storable(connections.actor.actor, 500), hashOf(key)];
  const before = await begin(connections, id, hashOf(request));
  if (before) return { ...before, replayed: true };
  let ended: Ended;
  try {
    ended = await work();
  } catch (error) {
    await connections.rows(FORGET, id).catch(() => undefined);
    throw error;
  }
  const { keep, status, body } = ended;
  // It is done, or not: that its answer could not be kept changes neither. The next one hears that it is not known.
  await (keep ? connections.rows(ANSWER, [...id, status, body]) : connections.rows(FORGET, id)).catch(() => undefined);
  return { status, body, replayed: false };
}

/** Undefined: it is this one's to do. */
async function begin(connections: Connections, id: unknown[], request: Buffer): Promise<Answered | undefined> {
  return connections.transaction(async (db) => {
    await run(db, PURGE);
    const [begun] = await run(db, BEGIN, [...id, request]);
    if (begun) return undefined;
    const [found] = await run<FoundRow>(db, FIND, [...id, request, LOST_MS]);
    // It was forgotten just now: its sender may try again at once.
    if (!found) throw new RequestGoesOnError();
    if (!found.same) throw new RequestDiffersError();
    if (found.status !== null) return { status: found.status, body: found.answer ?? '' };
    throw found.lost ? new RequestUnansweredError() : new RequestGoesOnError();
  });
}

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
