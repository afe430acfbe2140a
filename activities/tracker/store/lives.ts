/**
 * The statements of members with a life: their commits (`member/commit.ts` says what one is), and reading them. Their
 * mail is in `mail.ts`, and what is left of them when they are removed in `ended-lives.ts`.
 */
import { utf8Bytes } from '../../../workflows/lib/size';
import { errorText } from '../../../workflows/lib/text';
import { slotOf } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import type { Commit, MemberPart, Refused, Verdict } from '../member/commit';
import { MEMBER, type MemberLimits } from '../member/constants';
import { marksFromJson, marksToJson } from '../member/marks';
import { NOT_STORED, type Stored } from '../member/member';
import type { Address, Brought, Pushed, Sent, Timer, Trace } from '../member/types';
import type { Placing } from '../route';
import type { PoolOwner } from './fence';

const COMMIT: Statement = {
  name: 'turn-commit',
  text: `select fence_place as fence, part_place as part, verdict from longwatch.commit_turns($1::json, $2::json, $3::int, $4::bigint)`,
};
const LIMITS: Statement = {
  name: 'turn-limits',
  text: `select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`,
};
/** The first ones, until they have $3 bytes of JSON: a size is known before its text is read. */
const LOAD: Statement = {
  name: 'life-load',
  text: `select l.version::float8 as version, l.schema, l.state, l.marks, l.applied, l.sets::float8 as sets,
                (select json_agg(json_build_object('name', t.name, 'set', t.set, 'at', ${ms('t.at')}, 'json', t.json,
                                                   'attempts', t.attempts, 'trace', t.trace))
                 from longwatch.timer t where t.tracker = l.tracker and t.id = l.id) as timers,
                m.id is not null and m.removed_at is null as present,
                case when m.removed_at is not null then m.stamp::float8 else 0 end as removed_at
         from (select i.tracker, i.id, i.place, l.version, l.schema, l.state, l.marks, l.applied, l.sets,
                      sum(coalesce(octet_length(l.state), 0) + coalesce(octet_length(l.marks), 0)
                          + coalesce((select sum(octet_length(t.json)) from longwatch.timer t
                                      where t.tracker = i.tracker and t.id = i.id), 0))
                        over (order by i.place rows between unbounded preceding and 1 preceding) as before
               from unnest($1::text[], $2::text[]) with ordinality as i (tracker, id, place)
               left join longwatch.life l on l.tracker = i.tracker and l.id = i.id and l.version > 0) l
         left join longwatch.member m on m.tracker = l.tracker and m.id = l.id
         where l.before is null or l.before < $3
         order by l.place`,
};
/** Stored values that have changed, and that `apply` has not had: of these members, or of all in these slots. */
const UNAPPLIED: Statement = {
  name: 'value-unapplied',
  text: `select m.id, v.operation, v.value::text as json, v.codec, ${ms('v.changed_at')} as changed_at
         from longwatch.member m
         join longwatch.value v on v.member = m.key and v.operation = any($4::text[]) and v.value is not null
         left join longwatch.life l on l.tracker = m.tracker and l.id = m.id
         where m.tracker = $1 and m.slot between $2 and $3 and m.removed_at is null
           and ($5::bigint[] is null or m.key = any($5::bigint[]))
           and not exists (
             select 1 from json_array_elements(l.applied::json) a
             where a ->> 0 = v.operation and (a ->> 1)::float8 >= ${ms('v.changed_at')}
           )`,
};
/** The name under which `applied` has when a member was woken, where its row was written by something else since. */
const WOKEN = '';
/** Members with a message or a timer of late, for a node that has just taken their pool. */
const RECENT: Statement = {
  name: 'life-recent',
  text: `select id, at from (
           select l.id, coalesce((select (a ->> 1)::float8 from json_array_elements(l.applied::json) a where a ->> 0 = '${WOKEN}'),
                                 ${ms('l.written_at')}) as at
           from longwatch.life l
           where l.tracker = $1 and l.slot between $2 and $3 and l.state is not null
             and l.written_at > now() - make_interval(secs => $4::float8 / 1000)
         ) w where at > ${ms('now()')} - $4::float8`,
};
const TIMERS_DUE: Statement = {
  name: 'timer-due',
  text: `select id as member, name, set::float8 as set from longwatch.timer
         where tracker = $1 and slot between $2 and $3 and at <= now() order by at limit $4`,
};

export interface CommitOptions {
  /** The places of a tracker's ids (`placingOf`, or `byId`). If it throws, that member's turns are refused. */
  readonly placingOf: (tracker: string, toSend?: boolean) => Placing;
  /** The holders of its pools, in their order. */
  readonly owners: readonly PoolOwner[];
  /** Writes what members push, for the buffers to take: in this transaction. */
  readonly push: (db: Queryable, entries: readonly Pushed[]) => Promise<void>;
  /** @default MEMBER */
  readonly limits?: MemberLimits;
}

/**
 * Carries out a commit of turns, in the transaction that it is given. A member whose turns write (`ctx.write`) has a
 * call of its own, under a savepoint: a statement of a user that fails undoes nobody else's turn.
 */
export async function commitTurns(db: Queryable, commit: Commit, options: CommitOptions): Promise<Verdict[]> {
  const refused = commit.pools.map((): Refused[] => []);
  const writes = (part: MemberPart): boolean => part.writes.length > 0;
  const verdicts = await callStore(db, commit, options, refused);
  for (const [at, { members }] of commit.pools.entries()) {
    for (const part of verdicts[at] === 'done' ? members.filter(writes) : []) {
      const error = await writeAlone(db, commit, options, { at, part }, refused);
      if (error !== undefined) refused[at]!.push({ id: part.id, why: 'refused', error });
    }
  }
  const pushes = commit.pools.flatMap(({ members }, at) => {
    if (verdicts[at] !== 'done') return [];
    const not = new Set(refused[at]!.map(({ id }) => id));
    return members.flatMap((part) => (not.has(part.id) ? [] : part.pushes));
  });
  if (pushes.length > 0) await options.push(db, pushes);
  return commit.pools.map((_, at) => ({ verdict: verdicts[at]!, refused: refused[at]! }));
}

/** One call of the function, for all members that write nothing, or for one that does. */
async function callStore(
  db: Queryable,
  commit: Commit,
  { owners, placingOf, limits = MEMBER }: CommitOptions,
  refused: Refused[][],
  only?: MemberPart,
): Promise<Verdict['verdict'][]> {
  const fences = commit.pools.map(({ rosterVersion }, place) => {
    const { claim, token } = owners[place]!;
    const { tracker, pool, runId: run_id, shift, attempt } = claim;
    return { place, tracker, pool, token, run_id, shift, attempt, roster_version: rosterVersion };
  });
  const parts: MemberPart[] = [];
  const rows: object[] = [];
  for (const [fence, { tracker, members }] of commit.pools.entries()) {
    for (const part of members) {
      if (only ? part !== only : part.writes.length > 0) continue;
      const place = { place: parts.length, fence, tracker };
      try {
        rows.push(rowOf(part, place, placingOf));
        parts.push(part);
      } catch (thrown) {
        // It sends to a tracker whose route this process does not know, or that takes no messages.
        refused[fence]!.push({ id: part.id, why: 'refused', error: errorText(thrown) });
      }
    }
  }
  const found = await run<{ fence: number; part: number | null; verdict: string }>(db, COMMIT, [
    JSON.stringify(fences),
    JSON.stringify(rows),
    limits.handlerMail.entries,
    limits.handlerMail.bytes,
  ]);
  const verdicts = commit.pools.map((): Verdict['verdict'] => 'fenced');
  for (const { fence, part, verdict } of found) {
    if (part === null) verdicts[fence] = verdict as Verdict['verdict'];
    else refused[fence]!.push(refusedOf(parts[part]!.id, verdict));
  }
  return verdicts;
}

/** The longest that a statement of `ctx.write` may wait for a lock, and take. */
const WRITE_LIMITS = `set local lock_timeout = '100ms'; set local statement_timeout = '1s'`;

/** @returns why it is refused, where that is because of its statements */
async function writeAlone(
  db: Queryable,
  commit: Commit,
  options: CommitOptions,
  { at, part }: { at: number; part: MemberPart },
  refused: Refused[][],
): Promise<string | undefined> {
  const plain = (text: string) => db.query<{ lock: string; statement: string }>({ text, values: [] });
  const { rows } = await plain(
    `select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement`,
  );
  await plain('savepoint turn');
  try {
    await callStore(db, commit, options, refused, part);
    if (refused[at]!.some(({ id }) => id === part.id)) return undefined;
    await plain(WRITE_LIMITS);
    for (const { sql, values } of part.writes) await db.query({ text: sql, values: [...values] });
    const { lock, statement } = rows[0]!;
    await run(db, LIMITS, [lock, statement]);
    await plain('release savepoint turn');
    return undefined;
  } catch (thrown) {
    // An outage fails here as well, and with it the whole commit.
    await plain('rollback to savepoint turn');
    return errorText(thrown);
  }
}

function refusedOf(id: string, verdict: string): Refused {
  if (verdict === 'stale') return { id, why: 'stale' };
  const [kind] = verdict.split(': ', 1);
  const error = verdict.slice(`${kind}: `.length);
  return { id, why: 'refused', error, ...(kind === 'full' && { name: 'MailboxFullError' }) };
}

function rowOf(part: MemberPart, place: { tracker: string }, placing: CommitOptions['placingOf']): object {
  const { id, expected, row, spawn, mailGone, again, timersSet, timersGone, answers, dead, sent } = part;
  const hash = placing(place.tracker)(id);
  return {
    ...place,
    id,
    slot: slotOf(hash),
    hash,
    expected,
    written: row !== undefined,
    ...(row && columnsOf(row)),
    spawn: spawn ?? null,
    gone: mailGone,
    again: again.map(({ mail, attempts, notBefore, error }) => ({ mail, attempts, not_before: notBefore, error })),
    timers_set: timersSet.map(({ trace, ...timer }) => ({ ...timer, trace: traceText(trace) })),
    timers_gone: timersGone,
    answers: answers.map(({ request, client, answer }) =>
      'json' in answer
        ? { request, client, json: answer.json }
        : { request, client, error: answer.error.type, message: answer.error.message },
    ),
    dead: dead.map(({ from, trace, replyTo, ...one }) => ({
      ...{ ...one, ...replyColumns(replyTo) },
      ...{ sender: from, trace: traceText(trace) },
    })),
    sent: sent.map((one) => sentRow(one, placing)),
  };
}

function columnsOf({ state, stateVersion, marks, sets, ...row }: NonNullable<MemberPart['row']>): object {
  return { state, schema: stateVersion, marks: marksToJson(marks), applied: JSON.stringify(appliedOf(row)), sets };
}

function appliedOf({ applied, wokenAt }: Pick<NonNullable<MemberPart['row']>, 'applied' | 'wokenAt'>) {
  return wokenAt === undefined ? [...applied] : [...applied, [WOKEN, wokenAt]];
}

function sentRow({ to, json, replyTo, trace }: Sent, placing: CommitOptions['placingOf']): object {
  return {
    tracker: to.tracker,
    id: to.id,
    slot: slotOf(placing(to.tracker, true)(to.id)),
    json,
    bytes: utf8Bytes(json),
    ...replyColumns(replyTo),
    trace: traceText(trace),
  };
}

const replyColumns = (to: Address | undefined) => to && { reply_tracker: to.tracker, reply_id: to.id };

export const traceText = (trace: Trace | undefined): string | null => (trace ? JSON.stringify(trace) : null);

interface LifeRow {
  version: number | null;
  schema: number | null;
  state: string | null;
  marks: string | null;
  applied: string | null;
  sets: number | null;
  timers: (Omit<Timer, 'trace'> & { trace: string | null })[] | null;
  present: boolean;
  removed_at: number;
}

/**
 * Members as they are stored, in the order in which they are asked for. One statement, so all are of one moment.
 * @param bytes the JSON of them all, or of one that is larger
 * @returns the first of them, as many as there is room for: at least one
 */
export async function loadLives(
  db: Queryable,
  members: readonly Address[],
  bytes: number = MEMBER.readBytes,
): Promise<Stored[]> {
  const rows = await run<LifeRow>(db, LOAD, [
    members.map(({ tracker }) => tracker),
    members.map(({ id }) => id),
    bytes,
  ]);
  return rows.map(storedOf);
}

function storedOf(row: LifeRow): Stored {
  const { version, present, removed_at: removedAt } = row;
  const timers = timersOf(row);
  if (version === null) return { version: 0, removedAt, image: { ...NOT_STORED.image, present, timers } };
  const applied = new Map(JSON.parse(row.applied ?? '[]') as [string, number][]);
  const wokenAt = applied.get(WOKEN);
  applied.delete(WOKEN);
  const image = {
    present,
    state: row.state,
    stateVersion: row.schema ?? 1,
    marks: marksFromJson(row.marks),
    applied,
    ...(wokenAt !== undefined && { wokenAt }),
    timers,
    sets: row.sets ?? 0,
  };
  return { version, removedAt, image };
}

function timersOf({ timers }: Pick<LifeRow, 'timers'>): Map<string, Timer> {
  return new Map(
    (timers ?? []).map(({ trace, ...timer }) => [
      timer.name,
      { ...timer, ...(trace !== null && { trace: JSON.parse(trace) as Trace }) },
    ]),
  );
}

/** @param keys of members whose values were just written; undefined: of all in these slots */
export async function unappliedValues(
  db: Queryable,
  tracker: string,
  slots: { first: number; last: number },
  operations: readonly string[],
  keys?: readonly number[],
): Promise<{ id: string; brought: Brought }[]> {
  type Row = { id: string; operation: string; json: string; codec: string | null; changed_at: number };
  const rows = await run<Row>(db, UNAPPLIED, [tracker, slots.first, slots.last, operations, keys ?? null]);
  return rows.map(({ id, operation, json, codec, changed_at: fetchedAt }) => ({
    id,
    brought: { operation, json, fetchedAt, ...(codec !== null && { codec }) },
  }));
}

/** Members that had a turn within that time, and when. */
export function recentLives(
  db: Queryable,
  tracker: string,
  slots: { first: number; last: number },
  withinMs: number,
): Promise<{ id: string; at: number }[]> {
  return run<{ id: string; at: number }>(db, RECENT, [tracker, slots.first, slots.last, withinMs]);
}

export async function timersDue(
  db: Queryable,
  tracker: string,
  slots: { first: number; last: number },
  most: number,
): Promise<{ member: string; timer: { name: string; set: number } }[]> {
  const rows = await run<{ member: string; name: string; set: number }>(db, TIMERS_DUE, [
    tracker,
    slots.first,
    slots.last,
    most,
  ]);
  return rows.map(({ member, name, set }) => ({ member, timer: { name, set } }));
}
