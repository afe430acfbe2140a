/**
 * The statements of the mail: what senders insert (by the rules of `member/admission.ts`), what the holder of a pool
 * reads, and the three tables that are filled in turn (`member/rotation.ts` decides, this carries out).
 */
import type { TrackerDefinition } from '../../../config/define/tracker';
import { slotOf, type Slots } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import type { Admission } from '../member/admission';
import { MEMBER, type MemberLimits } from '../member/constants';
import type { Reading } from '../member/pool-mail';
import type { MailTables, TableStep } from '../member/rotation';
import type { Mail, Trace } from '../member/types';
import { notDefinedHere, placingOf, type Placing } from '../route';
import { KEPT, type PoolAt } from './mail-notices';
import { traceText } from './lives';

/** A message that is to be inserted. */
export type NewMail = Omit<Mail, 'id' | 'storedAt' | 'attempts' | 'answered' | 'notBefore'>;

/**
 * One batch of one sender. A member's mail is counted up to its bound; of those that do not fit, and of all that
 * follow them to the same member, nothing is taken. The ids are drawn in the order of the batch.
 */
const INSERT: Statement = {
  name: 'mail-insert',
  text: `with tracker as (
           select pools, state, options ->> 'route' as route from longwatch.tracker where name = $1
         ), batch as (
           select b.*, clock_timestamp() - to_timestamp(b.told_at / 1000)
                       > make_interval(secs => case when b.request is null then $5::float8 else $6::float8 end / 1000) as old
           from json_to_recordset($2::json) as b (nth int, member text, slot bigint, hash bigint, sender text, number bigint, previous bigint,
             request text, deadline float8, client text, reply_tracker text, reply_id text, json text, bytes int, told_at float8, trace text)
         ), waiting as (
           select w.member, count(m.bytes) as entries, coalesce(sum(m.bytes), 0) as bytes
           from (select distinct member, slot from batch) w
           left join lateral (
             select bytes from longwatch.mail m where m.tracker = $1 and m.slot = w.slot and m.member = w.member limit $3
           ) m on true
           group by w.member
         ), placed as (
           select b.*, w.entries + count(*) over before as entries_before,
                  w.bytes + coalesce(sum(b.bytes) over before, 0) as bytes_before
           from batch b join waiting w on w.member = b.member cross join tracker t
           where not b.old and t.state <> 'stopped' and t.route is not distinct from $7
           window before as (partition by b.member order by b.nth rows between unbounded preceding and 1 preceding)
         ), taken as (
           select p.*, bool_and(p.entries_before = 0 or (p.entries_before < $3 and p.bytes_before + p.bytes <= $4))
                       over (partition by p.member order by p.nth) as fits
           from placed p
         ), inserted as (
           insert into longwatch.mail (place, id, tracker, member, slot, sender, number, previous, request, deadline, client,
                                       reply_tracker, reply_id, json, bytes, told_at, trace)
           select w.current, nextval('longwatch.stamp'), $1, t.member, t.slot, t.sender, t.number, t.previous, t.request,
                  to_timestamp(t.deadline / 1000), t.client, t.reply_tracker, t.reply_id, t.json, t.bytes,
                  least(to_timestamp(t.told_at / 1000), clock_timestamp()), t.trace
           from (select * from taken where fits order by nth) t cross join longwatch.mail_turn w
         ), used as (
           update longwatch.mail_turn w set clean[w.current + 1] = false
           where w.clean[w.current + 1] and exists (select 1 from taken where fits)
         )
         select r.state, r.route, case when b.old then 'too old' when t.fits then 'taken' else 'wait' end as admission,
                case when t.fits then p.node end as node, p.pool
         from batch b cross join tracker r left join taken t on t.nth = b.nth
         left join longwatch.pool p on p.tracker = $1 and p.pool = longwatch.pool_of(b.hash, r.pools) and ${KEPT}
         order by b.nth`,
};
/** The mail of many pools at once: each has its own bound, and leaves out what it knows. No id is in two pools. */
const READ: Statement = {
  name: 'mail-read',
  text: `select p.place::int as place, m.id::float8 as id, m.member, m.sender, m.number::float8 as number, m.previous::float8 as previous,
                m.request, ${ms('m.deadline')} as deadline, m.client, m.reply_tracker, m.reply_id, m.json, m.bytes,
                ${ms('m.told_at')} as told_at, ${ms('m.stored_at')} as stored_at, m.attempts, ${ms('m.not_before')} as not_before, m.trace,
                m.request is not null and exists (
                  select 1 from longwatch.reply r where r.tracker = m.tracker and r.member = m.member and r.request = m.request
                ) as answered
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[], $11::bigint[])
                with ordinality as p (tracker, first, last, rows, bytes, place)
         cross join lateral (
           select * from (
             select m.*, sum(m.bytes) over (order by m.id) - m.bytes as before from (
               select m.* from longwatch.mail m
               where m.tracker = p.tracker and m.slot between p.first and p.last
                 and m.id not in (select unnest($5::bigint[]))
                 and (m.tracker, m.member) not in (select * from unnest($6::text[], $7::text[]))
                 and (m.tracker, m.member, m.sender) not in (select * from unnest($8::text[], $9::text[], $10::text[]))
               order by m.id limit p.rows
             ) m
           ) m where m.before < p.bytes
         ) m
         order by p.place, m.id`,
};
/** One statement for all pools of a node, each second: a few looks into an index for each. */
const WITH_MAIL: Statement = {
  name: 'mail-pools-with',
  text: `select p.place::int as place,
                exists (select 1 from longwatch.mail m
                        where m.tracker = p.tracker and m.slot between p.first and p.last limit 1) as mail,
                exists (select 1 from longwatch.timer t
                        where t.tracker = p.tracker and t.slot between p.first and p.last and t.at <= now() limit 1) as timers
         from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality as p (tracker, first, last, place)`,
};
const TABLES: Statement = {
  name: 'mail-tables',
  text: `select current::int as current, ${ms('since')} as since, clean, ${ms('clock_timestamp()')} as now,
                array(select (select count(*)::int from (select 1 from longwatch.mail m where m.place = p limit $1) r)
                      from generate_series(0, 2) p order by p) as rows
         from longwatch.mail_turn`,
};
const TURN: Statement = {
  name: 'mail-turn',
  text: `update longwatch.mail_turn set current = $1, since = clock_timestamp() where clean[$1 + 1]`,
};
const CARRY: Statement = {
  name: 'mail-carry',
  text: `with carried as (
           update longwatch.mail m set place = w.current from longwatch.mail_turn w where m.place = $1 and w.current <> $1 returning 1
         )
         update longwatch.mail_turn w set clean[w.current + 1] = false where w.clean[w.current + 1] and exists (select 1 from carried)`,
};
const EMPTY: Statement = { name: 'mail-empty', text: `select longwatch.empty_mail($1) as emptied` };

/** The outcome of a batch. */
export interface Inserted {
  /** The tracker's; one that is stopped takes nothing. Undefined: there is none of that name. */
  readonly state: 'running' | 'paused' | 'stopped' | undefined;
  /** For each message whether it was taken. Empty where there is no tracker. */
  readonly admissions: Admission[];
  /** The nodes that are to be told, when this is committed. Mail for a pool that nobody keeps waits for its keeper. */
  readonly keepers: PoolAt[];
}

/**
 * @param definition the tracker's, where it has a route
 * @throws NotDefinedHere where the tracker has a route that is not the definition's: nothing was taken
 */
export async function insertMail(
  db: Queryable,
  tracker: string,
  batch: readonly NewMail[],
  limits: MemberLimits = MEMBER,
  definition?: Pick<TrackerDefinition, 'route'>,
): Promise<Inserted> {
  const name = definition?.route?.name;
  const found = await insert(db, tracker, batch, limits, { name, placing: placingOf(tracker, name, definition) });
  // One that is not declared yet: until then ids are placed by themselves.
  if (found[0]?.route === null && name !== undefined) return insertMail(db, tracker, batch, limits);
  const declared = found[0]?.route ?? undefined;
  if (declared !== name && found.length > 0) throw notDefinedHere(tracker, declared!, definition?.route);
  const keepers = found.flatMap(({ node, pool }) => (node === null ? [] : [{ node, tracker, pool }]));
  return { state: found[0]?.state, admissions: found.map(({ admission }) => admission), keepers };
}

interface InsertedRow {
  [column: string]: unknown;
  state: Inserted['state'];
  route: string | null;
  admission: Admission;
  node: string | null;
  pool: number;
}

async function insert(
  db: Queryable,
  tracker: string,
  batch: readonly NewMail[],
  limits: MemberLimits,
  route: { name: string | undefined; placing: Placing },
): Promise<InsertedRow[]> {
  const hashes = batch.map(({ member }) => route.placing(member));
  const rows = batch.map(({ member, from, request, replyTo, toldAt, trace, ...rest }, nth) => ({
    ...rest,
    nth,
    member,
    slot: slotOf(hashes[nth]!),
    hash: hashes[nth],
    sender: from,
    ...(request && { request: request.id, deadline: request.deadline, client: request.client }),
    ...(replyTo && { reply_tracker: replyTo.tracker, reply_id: replyTo.id }),
    told_at: toldAt,
    trace: traceText(trace),
  }));
  const { entries, bytes } = limits.memberMail;
  return run<InsertedRow>(db, INSERT, [
    tracker,
    JSON.stringify(rows),
    entries,
    bytes,
    limits.tellAgainMs,
    limits.requestAgainMs,
    route.name ?? null,
  ]);
}

interface MailRow {
  /** The number of its pool among those that were asked for, from 1 on. */
  place: number;
  id: number;
  member: string;
  sender: string;
  number: number | null;
  previous: number | null;
  request: string | null;
  deadline: number | null;
  client: string | null;
  reply_tracker: string | null;
  reply_id: string | null;
  json: string;
  bytes: number;
  told_at: number;
  stored_at: number;
  attempts: number;
  not_before: number | null;
  trace: string | null;
  answered: boolean;
}

/** A question for the mail of one pool. */
export interface PoolReading {
  readonly tracker: string;
  readonly slots: Slots;
  readonly reading: Reading;
}

/**
 * One statement over all tables, so of one moment: what a sender has sent before something that is found is found
 * too.
 * @returns for each of the pools its mail, by ids from the smallest on
 */
export async function readMail(db: Queryable, pools: readonly PoolReading[]): Promise<Mail[][]> {
  const full = pools.flatMap(({ tracker, reading }) => reading.full.map((member) => ({ tracker, member })));
  const blocked = pools.flatMap(({ tracker, reading }) => reading.blocked.map((stream) => ({ tracker, ...stream })));
  const rows = await run<MailRow>(db, READ, [
    pools.map(({ tracker }) => tracker),
    pools.map(({ slots }) => slots.first),
    pools.map(({ slots }) => slots.last),
    pools.map(({ reading }) => reading.rows),
    pools.flatMap(({ reading }) => reading.known),
    ...[full.map(({ tracker }) => tracker), full.map(({ member }) => member)],
    ...[blocked.map(({ tracker }) => tracker), blocked.map(({ member }) => member), blocked.map(({ from }) => from)],
    pools.map(({ reading }) => reading.bytes),
  ]);
  const found = pools.map((): Mail[] => []);
  for (const row of rows) found[row.place - 1]!.push(mailOf(row));
  return found;
}

function mailOf(row: MailRow): Mail {
  const { id, member, sender: from, json, bytes, told_at: toldAt, stored_at: storedAt, attempts } = row;
  return {
    ...{ id, member, from, json, bytes, toldAt, storedAt, attempts },
    ...(row.number !== null && { number: row.number }),
    ...(row.previous !== null && { previous: row.previous }),
    ...(row.request !== null && {
      request: { id: row.request, deadline: row.deadline!, client: row.client! },
      answered: row.answered,
    }),
    ...(row.reply_id !== null && { replyTo: { tracker: row.reply_tracker!, id: row.reply_id } }),
    ...(row.not_before !== null && { notBefore: row.not_before }),
    ...(row.trace !== null && { trace: JSON.parse(row.trace) as Trace }),
  };
}

/**
 * The pools in whose mail there is something, known or not, or whose timers are due.
 * @returns `place`: in the list that was given
 */
export async function poolsWithMail(
  db: Queryable,
  pools: readonly ({ readonly tracker: string } & Slots)[],
): Promise<{ place: number; mail: boolean; timers: boolean }[]> {
  const found = await run<{ place: number; mail: boolean; timers: boolean }>(db, WITH_MAIL, [
    pools.map(({ tracker }) => tracker),
    pools.map(({ first }) => first),
    pools.map(({ last }) => last),
  ]);
  return found.filter(({ mail, timers }) => mail || timers).map((row) => ({ ...row, place: row.place - 1 }));
}

/** The tables as `tableStep` asks for them, and the time that it is. */
export async function mailTables(db: Queryable, limits: MemberLimits = MEMBER): Promise<MailTables & { now: number }> {
  type Found = { current: number; since: number; clean: boolean[]; now: number; rows: number[] };
  const [row] = await run<Found>(db, TABLES, [limits.carryRows + 1]);
  const { current, since, now, rows, clean } = row!;
  return { current, since, now, tables: rows.map((count, at) => ({ rows: count, isClean: clean[at]! })) };
}

/**
 * Carries a step out, in a transaction of its own with a short `lock_timeout`. Nobody writes to a table that is
 * locked, and what was written before is seen: so none of it is lost. @returns false: the table has rows by now
 */
export async function stepTables(db: Queryable, step: NonNullable<TableStep>): Promise<boolean> {
  if (step.do === 'turn') {
    await run(db, TURN, [step.to]);
    return true;
  }
  if (step.do === 'carry') {
    await db.query({ text: `lock table longwatch.mail_${step.table} in access exclusive mode`, values: [] });
    await run(db, CARRY, [step.table]);
    return true;
  }
  const [row] = await run<{ emptied: boolean }>(db, EMPTY, [step.table]);
  return row!.emptied;
}
