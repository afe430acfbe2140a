/**
 * Announcements of mail and of replies (NOTIFY): the names of their channels, what they say, and the statements that
 * make them. A node hears of mail on a channel of its own, and so does a client of replies to its requests. All of
 * them are hints: who misses one finds the rows when he looks next, each second.
 *
 * PostgreSQL takes one lock for all commits that notify, and holds it until they are on the disk. So nobody notifies
 * in the transaction that writes the rows: `MailNotifier` (`mail-notifier.ts`) does it afterwards, in a statement that
 * need not be on the disk. Called by it, by senders (`client/`), and by nodes for what their handlers send.
 */
import { createHash } from 'node:crypto';
import { utf8Bytes } from '../../../workflows/lib/size';
import type { QueryResultRow } from 'pg';
import { slotsOf } from '../../../workflows/tracker/slots';
import type { Statement } from '../../lib/database';
import type { Address } from '../member/types';
import type { Placing } from '../route';
import type { CountedPool } from './mail-full';
import { HANDLES_MAIL } from './node-lives';

/** A node hears here of mail for the pools that it keeps. At most 63 bytes, whatever the node's name is. */
export const nodeChannel = (node: string): string => `longwatch_mail_${digest(node)}`;

/** A client hears here of replies to its requests. */
export const clientChannel = (client: string): string => `longwatch_reply_${digest(client)}`;

const digest = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 32);

/** Runs a statement outside of every transaction: it is one. `Database.rows` does. */
export type Ask = <R extends QueryResultRow>(statement: Statement, values: unknown[]) => Promise<R[]>;

/** There is mail for these pools of a tracker. */
export interface MailNotice {
  readonly tracker: string;
  readonly pools: readonly number[];
  /** It comes from a node that was told and does not keep them: it goes no further. */
  readonly handedOn?: true;
}

/** These requests have an answer. */
export interface ReplyNotice {
  readonly requests: readonly string[];
}

/** Undefined where it cannot be read: then the node reads the mail of all its pools. */
export function mailNoticeOf(payload: string | undefined): MailNotice | undefined {
  const notice = objectOf(payload);
  const { tracker, pools, handedOn } = notice ?? {};
  if (typeof tracker !== 'string' || !isListOf(pools, Number.isInteger)) return undefined;
  return { tracker, pools: pools as number[], ...(handedOn === true && { handedOn }) };
}

/** Undefined where it cannot be read: then the client looks for the answers to all its requests. */
export function replyNoticeOf(payload: string | undefined): ReplyNotice | undefined {
  const { requests } = objectOf(payload) ?? {};
  return isListOf(requests, (one) => typeof one === 'string') ? { requests: requests as string[] } : undefined;
}

const isListOf = (value: unknown, is: (one: unknown) => boolean): boolean => Array.isArray(value) && value.every(is);

function objectOf(payload: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(payload ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A pool, and the node that keeps it as far as the database knows. */
export interface PoolAt {
  readonly node: string;
  readonly tracker: string;
  readonly pool: number;
}

export interface Announcement {
  readonly channel: string;
  readonly payload: string;
}

/** PostgreSQL takes 7,999 bytes. */
const PAYLOAD_BYTES = 7_900;

/** One announcement for each node and tracker, or more where the pools are many. */
export function mailAnnouncements(pools: readonly PoolAt[], handedOn?: true): Announcement[] {
  const of = new Map<string, { node: string; tracker: string; pools: Set<number> }>();
  for (const { node, tracker, pool } of pools) {
    const key = JSON.stringify([node, tracker]);
    const one = of.get(key) ?? { node, tracker, pools: new Set() };
    of.set(key, one);
    one.pools.add(pool);
  }
  return [...of.values()].flatMap(({ node, tracker, pools: told }) => {
    const payload = (part: readonly number[]) =>
      JSON.stringify({ tracker, pools: part, ...(handedOn && { handedOn }) });
    return inParts([...told], payload).map((text) => ({ channel: nodeChannel(node), payload: text }));
  });
}

/** One announcement for each client, or more where its requests are many. */
export function replyAnnouncements(answered: readonly { client: string; request: string }[]): Announcement[] {
  const of = new Map<string, Set<string>>();
  for (const { client, request } of answered) of.set(client, (of.get(client) ?? new Set<string>()).add(request));
  return [...of].flatMap(([client, requests]) =>
    inParts([...requests], (part) => JSON.stringify({ requests: part })).map((payload) => ({
      channel: clientChannel(client),
      payload,
    })),
  );
}

/** The list in as many texts as their size asks for. One that is too large by itself is left to who looks. */
function inParts<T>(list: readonly T[], textOf: (part: readonly T[]) => string): string[] {
  const text = textOf(list);
  if (utf8Bytes(text) <= PAYLOAD_BYTES) return [text];
  if (list.length <= 1) return [];
  const half = list.length >> 1;
  return [...inParts(list.slice(0, half), textOf), ...inParts(list.slice(half), textOf)];
}

/** A commit of its own, that waits for no disk: an announcement that is lost with the server is not missed. */
const NOTIFY: Statement = {
  name: 'mail-notify',
  text: `with off as materialized (select set_config('synchronous_commit', 'off', true))
         select pg_notify(a.channel, a.payload)
         from off cross join unnest($1::text[], $2::text[]) as a (channel, payload)`,
};

export async function announce(ask: Ask, announcements: readonly Announcement[]): Promise<void> {
  if (announcements.length === 0) return;
  await ask(NOTIFY, [announcements.map(({ channel }) => channel), announcements.map(({ payload }) => payload)]);
}

/** A pool that was let go, or never kept, has no node: its next keeper reads what is there. */
export const KEPT = 'p.node is not null and p.released_at is null';

const KEEPERS_OF_MEMBERS: Statement = {
  name: 'mail-keepers-of-members',
  text: `select distinct a.tracker, a.pool, a.pools, p.node, n.name is not null as handled
         from (select m.tracker, longwatch.pool_of(m.hash, t.pools) as pool, t.pools
               from unnest($1::text[], $2::bigint[]) as m (tracker, hash) join longwatch.tracker t on t.name = m.tracker) a
         left join longwatch.pool p on p.tracker = a.tracker and p.pool = a.pool and ${KEPT}
         left join longwatch.node n on n.name = p.node and ${HANDLES_MAIL}`,
};
const KEEPERS_OF_POOLS: Statement = {
  name: 'mail-keepers-of-pools',
  text: `select p.node, p.tracker, p.pool
         from longwatch.pool p where p.tracker = $1 and p.pool = any($2::int[]) and ${KEPT}`,
};

/**
 * The nodes to be told of mail for these members, by the pools of now; and the pools whose mail no live node handles,
 * so that nobody else counts it. @param placingOf as for its commit
 */
export async function keepersOf(
  ask: Ask,
  members: readonly Address[],
  placingOf: (tracker: string) => Placing,
): Promise<{ keepers: PoolAt[]; unkept: CountedPool[] }> {
  type Row = { tracker: string; pool: number; pools: number; node: string | null; handled: boolean };
  const rows = await ask<Row>(KEEPERS_OF_MEMBERS, [
    members.map(({ tracker }) => tracker),
    members.map(({ tracker, id }) => placingOf(tracker)(id)),
  ]);
  return {
    keepers: rows.flatMap(({ node, tracker, pool }) => (node === null ? [] : [{ node, tracker, pool }])),
    unkept: rows
      .filter(({ handled }) => !handled)
      .map(({ tracker, pool, pools }) => ({ tracker, pool, slots: slotsOf(pool, pools) })),
  };
}

/** For a node that was told of pools which it does not keep: who does. */
export function keepersOfPools(ask: Ask, { tracker, pools }: MailNotice): Promise<PoolAt[]> {
  return ask<PoolAt & QueryResultRow>(KEEPERS_OF_POOLS, [tracker, pools]);
}
