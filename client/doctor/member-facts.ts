/**
 * The doctor's facts about members that receive: pools whose senders must wait, with what keeps their mail from being
 * handled; messages that may have ended processes; dead letters. Called by `facts.ts`; judged by `member-checks.ts`.
 */
import { ms } from '../../activities/lib/sql';
import { MEMBER } from '../../activities/tracker/member/constants';
import { KEPT } from '../../activities/tracker/store/mail-notices';
import { HANDLES_MAIL, NODE_LIVES } from '../../activities/tracker/store/node-lives';
import type { Statement } from '../../activities/lib/database';
import { slotsOf } from '../../workflows/tracker/slots';
import type { Connections } from '../connections';

/** A pool that is said to be full. */
export interface FullPool {
  tracker: string;
  pool: number;
  entries: number;
  bytes: number;
  /** It refuses messages of handlers as well. */
  forHandlers: boolean;
  /** How long ago it was counted, milliseconds. */
  countedMs: number;
  /** The live node that keeps it; null: none does. */
  node: string | null;
  /** That node has code for its messages. */
  handled: boolean;
  /** Some of its messages were looked at: so many have failed and wait for their time, with the error of one. */
  looked: number;
  failed: number;
  error: string | null;
}

/** Messages, timers or values of a tracker that may have ended the processes of two keepers. */
interface Suspects {
  tracker: string;
  messages: number;
  /** The key of the worst, as `ctx.key` says it: tracker, member, and which of its messages. */
  key: string;
  strikes: number;
}

/** Dead letters of a tracker's members, counted up to 1,001. */
interface MemberLetters {
  tracker: string;
  letters: number;
}

export interface MemberTroubles {
  readonly full: readonly FullPool[];
  readonly suspects: readonly Suspects[];
  readonly dead: readonly MemberLetters[];
}

const POOLS = 100;
const LOOKED = 1_000;

const FULL: Statement = {
  name: 'doctor-mail-full',
  text: `select f.tracker, f.pool, t.pools, f.entries::float8 as entries, f.bytes::float8 as bytes, f.for_handlers as "forHandlers",
                ${ms('clock_timestamp() - f.counted_at')} as "countedMs", n.name as node, coalesce(${HANDLES_MAIL}, false) as handled
         from longwatch.mail_full f join longwatch.tracker t on t.name = f.tracker
         left join longwatch.pool p on p.tracker = f.tracker and p.pool = f.pool and ${KEPT}
         left join longwatch.node n on n.name = p.node and ${NODE_LIVES}
         where t.state <> 'stopped' order by f.entries desc, f.tracker, f.pool limit ${POOLS}`,
};
const FAILED: Statement = {
  name: 'doctor-mail-failed',
  text: `select w.looked, w.failed, w.error
         from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality as p (tracker, first, last, place)
         cross join lateral (
           select count(*)::int as looked, count(m.error)::int as failed, max(m.error) as error from (
             select m.error from longwatch.mail m
             where m.tracker = p.tracker and m.slot between p.first and p.last limit ${LOOKED}
           ) m
         ) w order by p.place`,
};
const SUSPECTS: Statement = {
  name: 'doctor-suspects',
  text: `select tracker, count(*)::int as messages, (array_agg(key order by count desc, struck_at desc))[1] as key, max(count) as strikes
         from longwatch.strike where count > 1 and count < ${MEMBER.strikes} group by tracker order by tracker`,
};
const DEAD: Statement = {
  name: 'doctor-member-dead',
  text: `select t.name as tracker, d.letters from longwatch.tracker t cross join lateral (
           select count(*)::int as letters from (select 1 from longwatch.member_dead d where d.tracker = t.name limit 1001) d
         ) d where d.letters > 0 order by t.name`,
};

export async function memberTroubles(connections: Connections): Promise<MemberTroubles> {
  const [full, suspects, dead] = await Promise.all([
    fullPools(connections),
    connections.rows<Suspects & Record<string, unknown>>(SUSPECTS),
    connections.rows<MemberLetters & Record<string, unknown>>(DEAD),
  ]);
  return { full, suspects, dead };
}

async function fullPools(connections: Connections): Promise<FullPool[]> {
  type Row = Omit<FullPool, 'looked' | 'failed' | 'error'> & { pools: number };
  const rows = await connections.rows<Row & Record<string, unknown>>(FULL);
  if (rows.length === 0) return [];
  const slots = rows.map(({ pool, pools }) => slotsOf(pool, pools));
  const found = await connections.rows<Pick<FullPool, 'looked' | 'failed' | 'error'> & Record<string, unknown>>(
    FAILED,
    [rows.map(({ tracker }) => tracker), slots.map(({ first }) => first), slots.map(({ last }) => last)],
  );
  return rows.map(({ pools: _, ...row }, at) => ({ ...row, ...found[at]! }));
}
