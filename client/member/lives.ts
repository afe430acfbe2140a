/**
 * Reads what is stored of members with a life: state, mail, timers. For `member list` and `member show`, and as a part
 * of `show`; `reload` makes nodes read a state anew. Called by `handle.ts` and by the tracker's handle.
 */
import { run, type Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import type { Trace } from '../../activities/tracker/member/types';
import type { Json } from '../../workflows/lib/json';
import { unstorable } from '../../workflows/lib/text';
import { recorded, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { NotTrackedError } from '../errors';
import { iso } from '../iso';
import { pageSize, type Page } from '../page';
import { slotsOfMembers } from './places';

/** A member as a list shows it. */
export interface MemberLife {
  id: string;
  /** The stored row's: each commit of its turns raises it. */
  version: number;
  /** Bytes of its state as JSON; null: it has none. */
  stateBytes: number | null;
  /** Null: it has had no turn yet. */
  writtenAt: string | null;
  /** Messages that wait for it, as far as they were counted. */
  mail: WaitingMail;
  timers: number;
}

export interface WaitingMail {
  /** At most 1,000 are counted. */
  entries: number;
  bytes: number;
  /** When the oldest was stored; null: none waits. */
  oldestAt: string | null;
}

export interface MemberTimer {
  name: string;
  at: string;
  /** How often its handler has failed on it. */
  attempts: number;
  /** As of a message. */
  strikes: number;
  message: Json;
}

/** A stored value that `apply` has not come back from: one without a strike is not shown. */
export interface MemberStruckValue {
  operation: string;
  changedAt: string;
  /** As of a message; with three of them it is passed over. */
  strikes: number;
}

export interface MemberMessage {
  /** A process that sends, or `tracker/member` of the handler that did. */
  from: string;
  message: Json;
  bytes: number;
  storedAt: string;
  isRequest: boolean;
  attempts: number;
  error: string | null;
  /** After a failure it waits until then. */
  notBefore: string | null;
  /** Processes that have ended, one after another, while its handler may have been at work; three are too many. */
  strikes: number;
  trace: Trace | null;
}

export interface MemberLifeDetails extends Omit<MemberLife, 'timers'> {
  tracker: string;
  state: Json;
  /** The version of the definition that wrote the state. */
  stateVersion: number;
  /** The first 20 that wait, in their order. */
  messages: MemberMessage[];
  timers: MemberTimer[];
  struckValues: MemberStruckValue[];
  /** Its dead letters. */
  dead: number;
}

export interface LivesFilter {
  /** Only ids after this one. */
  after?: string;
  /** @default 100, at most 1,000 */
  limit?: number;
}

const COUNTED = 1_000;
const MESSAGES = 20;

const MAIL = `lateral (
           select count(*)::int as entries, coalesce(sum(w.bytes), 0)::float8 as mail_bytes, ${ms('min(w.stored_at)')} as oldest_at
           from (select bytes, stored_at from longwatch.mail where tracker = l.tracker and slot = l.slot and member = l.id limit ${COUNTED}) w
         ) m`;
const LIFE = `l.id, l.version::float8 as version, octet_length(l.state) as state_bytes, ${ms('l.written_at')} as written_at,
                m.entries, m.mail_bytes, m.oldest_at`;

const LIST: Statement = {
  name: 'client-lives',
  text: `select ${LIFE}, (select count(*)::int from longwatch.timer t where t.tracker = l.tracker and t.id = l.id) as timers
         from longwatch.life l cross join ${MAIL}
         where l.tracker = $1 and l.id > $2 and l.state is not null order by l.id limit $3`,
};
/** A member that has mail and had no turn yet is shown as well. A life of version 0 was made for a lock alone. */
const lifeOfOne = (columns: string): string =>
  `select ${LIFE}, ${columns} l.present,
          (select count(*)::int from longwatch.member_dead d where d.tracker = l.tracker and d.member = l.id) as dead
   from (select i.tracker, i.id, i.slot, coalesce(r.version, 0) as version, r.state, coalesce(r.schema, 1) as schema,
                case when r.version > 0 then r.written_at end as written_at, e.id is not null and e.removed_at is null as present
         from (values ($1::text, $2::text, $3::bigint)) as i (tracker, id, slot)
         left join longwatch.member e on e.tracker = i.tracker and e.id = i.id
         left join longwatch.life r on r.tracker = i.tracker and r.id = i.id) l
   cross join ${MAIL}`;
const SHOW: Statement = { name: 'client-life', text: lifeOfOne('l.schema, l.state,') };
/** A page asks it every two seconds, and wants neither a state of megabytes nor the messages. */
const BRIEF: Statement = { name: 'client-life-brief', text: lifeOfOne('') };
/** A message, or a timer, of `t`: by its key, as `ctx.key` says it (`activities/tracker/member/turn.ts`). */
const STRIKES = (rest: string, member: string): string =>
  `left join longwatch.strike s on s.tracker = t.tracker and s.slot = t.slot and s.key = t.tracker || '/' || t.${member} || '/' || ${rest}`;
const timersOfOne = (columns: string): string =>
  `select t.name, ${ms('t.at')} as at, t.attempts, ${columns} coalesce(s.count, 0) as strikes
   from longwatch.timer t ${STRIKES("'timer/' || t.set", 'id')}
   where t.tracker = $1 and t.id = $2 order by t.at, t.name`;
const TIMERS: Statement = { name: 'client-life-timers', text: timersOfOne('t.json,') };
const TIMERS_BRIEF: Statement = { name: 'client-life-timers-brief', text: timersOfOne('') };
const MESSAGES_OF: Statement = {
  name: 'client-life-messages',
  text: `select t.sender, t.json, t.bytes, ${ms('t.stored_at')} as stored_at, t.request is not null as is_request, t.attempts,
                t.error, ${ms('t.not_before')} as not_before, t.trace, coalesce(s.count, 0) as strikes
         from longwatch.mail t ${STRIKES('coalesce(t.request, t.id::text)', 'member')}
         where t.tracker = $1 and t.slot = $2 and t.member = $3 order by t.id limit ${MESSAGES}`,
};
/** Its values are known by when they have changed, as `ctx.key` says it. */
const STRUCK_VALUES: Statement = {
  name: 'client-life-values',
  text: `select v.operation, v.changed_at, s.count as strikes
         from (select t.tracker, t.id, v.operation, ${ms('v.changed_at')} as changed_at
               from longwatch.member t join longwatch.value v on v.member = t.key
               where t.tracker = $1 and t.id = $2 and t.removed_at is null) v
         join longwatch.strike s
           on s.tracker = v.tracker and s.slot = $3 and s.key = v.tracker || '/' || v.id || '/' || v.operation || '/' || v.changed_at::text
         order by v.operation`,
};
/**
 * The holder's next commit of it finds another version than it knows: it reads the row, and handles once more. A member
 * without a turn has nothing to be read anew.
 */
const RELOAD: Statement = {
  name: 'client-life-reload',
  text: `with present as (
           select 1 from longwatch.member where tracker = $1 and id = $2 and removed_at is null
         ), raised as (
           update longwatch.life set version = version + 1
           where tracker = $1 and id = $2 and version > 0 and (state is not null or exists (select 1 from present))
           returning version
         )
         select coalesce((select version from raised), 0)::float8 as version
         where exists (select 1 from present) or exists (select 1 from raised)`,
};

interface LifeRow {
  [column: string]: unknown;
  id: string;
  version: number;
  state_bytes: number | null;
  /** null: it has had no turn yet. */
  written_at: number | null;
  entries: number;
  mail_bytes: number;
  oldest_at: number | null;
}

function lifeOf(row: LifeRow): Omit<MemberLife, 'timers'> {
  return {
    id: row.id,
    version: row.version,
    stateBytes: row.state_bytes,
    writtenAt: iso(row.written_at),
    mail: { entries: row.entries, bytes: row.mail_bytes, oldestAt: iso(row.oldest_at) },
  };
}

/** A page of the members that have a state, by their ids. */
export async function listLives(
  connections: Connections,
  tracker: string,
  { after = '', limit }: LivesFilter,
): Promise<Page<MemberLife>> {
  const size = pageSize(limit);
  const values = [tracker, unstorable(after) === undefined ? after : '', size];
  const rows = await connections.read<LifeRow & { timers: number }>(LIST, values);
  const items = rows.map((row) => ({ ...lifeOf(row), timers: row.timers }));
  return { items, next: rows.length < size ? null : rows.at(-1)!.id };
}

interface OneLifeRow extends LifeRow {
  present: boolean;
  dead: number;
}

interface TimerRow {
  [column: string]: unknown;
  name: string;
  at: number;
  attempts: number;
  strikes: number;
}

/**
 * Undefined: it is not a member, nothing waits for it, and no letter of it is dead. The traces of a removal say
 * nothing.
 * @throws PlacedByRouteError
 */
export async function readLife(
  connections: Connections,
  tracker: string,
  id: string,
): Promise<MemberLifeDetails | undefined> {
  if (unstorable(id) !== undefined) return undefined;
  return connections.readTransaction(async (db) => {
    const slot = (await slotsOfMembers(db, tracker, [id], connections.definitions.get(tracker))).get(id)!;
    const [row] = await run<OneLifeRow & { schema: number; state: string | null }>(db, SHOW, [tracker, id, slot]);
    if (!isSaidOf(row!)) return undefined;
    const timers = await run<TimerRow & { json: string }>(db, TIMERS, [tracker, id]);
    const messages = await run<MessageRow>(db, MESSAGES_OF, [tracker, slot, id]);
    const values = await run<StruckRow>(db, STRUCK_VALUES, [tracker, id, slot]);
    return {
      tracker,
      ...lifeOf(row!),
      state: JSON.parse(row!.state ?? 'null') as Json,
      stateVersion: row!.schema,
      messages: messages.map(messageOf),
      timers: timers.map((timer) => ({ ...timerOf(timer), message: JSON.parse(timer.json) as Json })),
      struckValues: values.map(struckOf),
      dead: row!.dead,
    };
  });
}

const isSaidOf = ({ present, state_bytes: stateBytes, entries, dead }: OneLifeRow): boolean =>
  present || stateBytes !== null || entries > 0 || dead > 0;

const timerOf = ({ name, at, attempts, strikes }: TimerRow): BriefLife['timers'][number] => ({
  name,
  at: iso(at),
  attempts,
  strikes,
});

interface StruckRow {
  [column: string]: unknown;
  operation: string;
  changed_at: number;
  strikes: number;
}

const struckOf = ({ operation, changed_at: changedAt, strikes }: StruckRow): MemberStruckValue => ({
  operation,
  changedAt: iso(changedAt),
  strikes,
});

/** Without its state and messages, for `show`. */
export type BriefLife = Pick<
  MemberLifeDetails,
  'version' | 'stateBytes' | 'writtenAt' | 'mail' | 'struckValues' | 'dead'
> & {
  timers: Omit<MemberTimer, 'message'>[];
};

/**
 * Null: it has no state, nothing waits for it, no value of it has a strike, and no letter of it is dead.
 * @throws PlacedByRouteError
 */
export async function briefLife(connections: Connections, tracker: string, id: string): Promise<BriefLife | null> {
  if (unstorable(id) !== undefined) return null;
  return connections.readTransaction(async (db) => {
    const slot = (await slotsOfMembers(db, tracker, [id], connections.definitions.get(tracker))).get(id)!;
    const [row] = await run<OneLifeRow>(db, BRIEF, [tracker, id, slot]);
    const { version, stateBytes, writtenAt, mail } = lifeOf(row!);
    const values = await run<StruckRow>(db, STRUCK_VALUES, [tracker, id, slot]);
    if (version === 0 && mail.entries === 0 && row!.dead === 0 && values.length === 0) return null;
    const timers = await run<TimerRow>(db, TIMERS_BRIEF, [tracker, id]);
    const struckValues = values.map(struckOf);
    return { version, stateBytes, writtenAt, mail, dead: row!.dead, timers: timers.map(timerOf), struckValues };
  });
}

interface MessageRow {
  [column: string]: unknown;
  sender: string;
  json: string;
  bytes: number;
  stored_at: number;
  is_request: boolean;
  attempts: number;
  error: string | null;
  not_before: number | null;
  strikes: number;
  trace: string | null;
}

function messageOf(row: MessageRow): MemberMessage {
  return {
    from: row.sender,
    message: JSON.parse(row.json) as Json,
    bytes: row.bytes,
    storedAt: iso(row.stored_at),
    isRequest: row.is_request,
    attempts: row.attempts,
    error: row.error,
    notBefore: iso(row.not_before),
    strikes: row.strikes,
    trace: row.trace === null ? null : (JSON.parse(row.trace) as Trace),
  };
}

/**
 * The node that has it in memory reads its state anew, with its next turn: for who has changed the row by hand.
 * @returns the version that it has now. @throws NotTrackedError
 */
export async function reloadLife(
  connections: Connections,
  tracker: string,
  id: string,
  { why }: CommandOptions,
): Promise<{ version: number }> {
  const command = { what: 'member reload', subject: `tracker/${tracker}`, after: { member: id }, why };
  return recorded(connections, command, async (db) => {
    const values = [tracker, id];
    const [row] = unstorable(id) === undefined ? await run<{ version: number }>(db, RELOAD, values) : [];
    if (!row) throw new NotTrackedError(tracker, id);
    return { result: { version: row.version } };
  });
}
