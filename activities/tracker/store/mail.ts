/**
 * The statements of the mail: what senders insert (by the rules of `member/admission.ts`), and what the holder of a
 * pool reads. The tables that it lies in are seen to by `mail-tables.ts`.
 */
import type { TrackerDefinition } from '../../../config/define/tracker';
import { slotOf, slotsOf, type Slots } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import type { Admission } from '../member/admission';
import { MEMBER, type MemberLimits } from '../member/constants';
import type { Reading } from '../member/pool-mail';
import type { Mail, Trace } from '../member/types';
import { notDefinedHere, placingOf, type Placing } from '../route';
import { KEPT, type PoolAt } from './mail-notices';
import { HANDLES_MAIL } from './node-lives';
import { traceText } from './lives';
import type { CountedPool } from './mail-full';

/** A message that is to be inserted. */
export type NewMail = Omit<Mail, 'id' | 'storedAt' | 'attempts' | 'answered' | 'notBefore'>;

/**
 * One batch of one sender. A member's mail is counted up to its bound; of those that do not fit, and of all that
 * follow them to the same member, nothing is taken; and nothing for a pool that is said to be full. The ids are drawn
 * in the order of the batch.
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
           select b.*, longwatch.pool_of(b.hash, t.pools) in (select pool from longwatch.mail_full where tracker = $1) as is_full,
                  w.entries + count(*) over before as entries_before,
                  w.bytes + coalesce(sum(b.bytes) over before, 0) as bytes_before
           from batch b join waiting w on w.member = b.member cross join tracker t
           where not b.old and t.state <> 'stopped' and t.route is not distinct from $7
           window before as (partition by b.member order by b.nth rows between unbounded preceding and 1 preceding)
         ), taken as (
           select p.*, bool_and(not p.is_full and (p.entries_before = 0 or (p.entries_before < $3 and p.bytes_before + p.bytes <= $4)))
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
         select b.state, b.route, b.pools, case when b.old then 'too old' when t.fits then 'taken' else 'wait' end as admission,
                coalesce(t.is_full, false) as is_full, p.node, n.name is not null as handled, b.pool
         from (select *, longwatch.pool_of(hash, pools) as pool from batch cross join tracker) b
         left join taken t on t.nth = b.nth
         left join longwatch.pool p on p.tracker = $1 and p.pool = b.pool and ${KEPT}
         left join longwatch.node n on n.name = p.node and ${HANDLES_MAIL}
         order by b.nth`,
};
/** The mail of many pools at once: each has its own bound, and leaves out what it knows. No id is in two pools. */
const READ: Statement = {
  name: 'mail-read',
  text: `select p.place::int as place, m.id::float8 as id, m.member, m.sender, m.number::float8 as number, m.previous::float8 as previous,
                m.request, ${ms('m.deadline')} as deadline, m.client, m.reply_tracker, m.reply_id, m.json, m.bytes,
                ${ms('m.told_at')} as told_at, ${ms('m.stored_at')} as stored_at, m.attempts, ${ms('m.not_before')} as not_before, m.trace,
                m.slot::float8 as slot,
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
const MOVE: Statement = {
  name: 'mail-move',
  text: `update longwatch.mail m set slot = a.goal from unnest($2::bigint[], $3::bigint[], $4::bigint[]) as a (id, slot, goal)
         where m.tracker = $1 and m.slot = a.slot and m.id = a.id`,
};
/** One statement for all pools of a node, each second: a few looks into indexes for each. */
const WITH_MAIL: Statement = {
  name: 'mail-pools-with',
  text: `select p.place::int as place,
                exists (select 1 from longwatch.mail m
                        where m.tracker = p.tracker and m.slot between p.first and p.last limit 1) as mail,
                exists (select 1 from longwatch.timer t
                        where t.tracker = p.tracker and t.slot between p.first and p.last and t.at <= now() limit 1) as timers,
                exists (select 1 from longwatch.mail_full f where f.tracker = p.tracker and f.pool = p.pool) as is_full
         from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) with ordinality as p (tracker, pool, first, last, place)`,
};

/** The outcome of a batch. */
export interface Inserted {
  /** The tracker's; one that is stopped takes nothing. Undefined: there is none of that name. */
  readonly state: 'running' | 'paused' | 'stopped' | undefined;
  /** For each message whether it was taken. Empty where there is no tracker. */
  readonly admissions: Admission[];
  /** The nodes that are to be told, when this is committed. Mail for a pool that nobody keeps waits for its keeper. */
  readonly keepers: PoolAt[];
  /** By the places of messages that wait, since their pools are full: the pool. */
  readonly full: ReadonlyMap<number, number>;
  /** Pools of the batch whose mail no live node handles: so nobody else counts it. */
  readonly unkept: CountedPool[];
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
  const taken = found.filter(({ admission }) => admission === 'taken');
  const keepers = taken.flatMap(({ node, pool }) => (node === null ? [] : [{ node, tracker, pool }]));
  const waiting = found.flatMap(({ is_full, admission, pool }, at) =>
    is_full && admission === 'wait' ? [[at, pool] as const] : [],
  );
  const unkept = new Map(
    found.flatMap(({ state, handled, pool, pools }) =>
      state !== 'stopped' && !handled ? [[pool, pools] as const] : [],
    ),
  );
  return {
    state: found[0]?.state,
    admissions: found.map(({ admission }) => admission),
    keepers,
    full: new Map(waiting),
    unkept: [...unkept].map(([pool, pools]) => ({ tracker, pool, slots: slotsOf(pool, pools) })),
  };
}

interface InsertedRow {
  [column: string]: unknown;
  state: Inserted['state'];
  route: string | null;
  /** The tracker's layout. */
  pools: number;
  admission: Admission;
  is_full: boolean;
  node: string | null;
  /** A live node handles its mail, and counts it. */
  handled: boolean;
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
  slot: number;
  answered: boolean;
}

/** A question for the mail of one pool. */
export interface PoolReading {
  readonly tracker: string;
  readonly slots: Slots;
  readonly reading: Reading;
  /** The slot of a member's mail, as its commit looks for it. */
  readonly slotOf: (member: string) => number;
}

/** A message that lies where the commit of its member does not look: the route gave another text when it was sent. */
export interface Astray {
  readonly id: number;
  readonly from: number;
  readonly to: number;
}

/** The mail of a pool, as a reading has found it. */
export interface FoundMail {
  /** By ids from the smallest on. */
  readonly mail: Mail[];
  readonly astray: Astray[];
}

/**
 * One statement over all tables, so of one moment: what a sender has sent before something that is found is found
 * too.
 * @returns for each of the pools its mail
 */
export async function readMail(db: Queryable, pools: readonly PoolReading[]): Promise<FoundMail[]> {
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
  const found = pools.map((): FoundMail => ({ mail: [], astray: [] }));
  for (const row of rows) {
    const { mail, astray } = found[row.place - 1]!;
    const to = pools[row.place - 1]!.slotOf(row.member);
    if (to === row.slot) mail.push(mailOf(row));
    else astray.push({ id: row.id, from: row.slot, to });
  }
  return found;
}

/** Mail that lies in the wrong place goes to the right one, where the keeper of that pool finds it. */
export async function moveMail(db: Queryable, tracker: string, astray: readonly Astray[]): Promise<void> {
  const columns = [astray.map(({ id }) => id), astray.map(({ from }) => from), astray.map(({ to }) => to)];
  await run(db, MOVE, [tracker, ...columns]);
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

/** A pool for which there is something to do. `place`: in the list that was given. */
export interface PoolLook {
  readonly place: number;
  /** Something is in its mail, known or not. */
  readonly mail: boolean;
  /** Some of its timers are due. */
  readonly timers: boolean;
  /** It is said to be full. */
  readonly isFull: boolean;
}

/** The pools for which there is something to do. */
export async function poolsWithMail(db: Queryable, pools: readonly CountedPool[]): Promise<PoolLook[]> {
  const found = await run<Omit<PoolLook, 'isFull'> & { is_full: boolean }>(db, WITH_MAIL, [
    pools.map(({ tracker }) => tracker),
    pools.map(({ pool }) => pool),
    pools.map(({ slots }) => slots.first),
    pools.map(({ slots }) => slots.last),
  ]);
  return found
    .filter(({ mail, timers, is_full }) => mail || timers || is_full)
    .map(({ place, mail, timers, is_full: isFull }) => ({ place: place - 1, mail, timers, isFull }));
}
