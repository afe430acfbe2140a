/**
 * The dead letters of a tracker's members: messages on which a handler has failed too often. List them, look at one,
 * bring them back or drop them. Got from `TrackerHandle.dead`; used by `longwatch dead`, whose verbs are those of
 * buffers. A letter that is brought back is mail again, in the statement that takes it out.
 */
import { run, type Queryable, type Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import type { Address, Trace } from '../../activities/tracker/member/types';
import { KEPT, type PoolAt } from '../../activities/tracker/store/mail-notices';
import type { Json } from '../../workflows/lib/json';
import { unstorable } from '../../workflows/lib/text';
import type { TrackerOptions } from '../../workflows/tracker/options';
import { recorded, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { UnknownLetterError } from '../errors';
import { iso } from '../iso';
import {
  cursorOf,
  isBigint,
  isMicros,
  micros,
  pageSize,
  placeOf,
  timeOfMicros,
  type Page,
  type PageOptions,
} from '../page';
import { DoesNotReceiveError, InvalidMessageError } from './errors';
import { slotsOfMembers } from './places';
import type { Post } from './post';

export interface DeadLetterFilter {
  /** Their ids, as `list` shows them. */
  ids?: readonly string[];
  /** Only those of this member. */
  member?: string;
  /** Only where the error contains this text. */
  error?: string;
  /** Only those that died at least this long ago, milliseconds. */
  olderThanMs?: number;
}

export interface DeadLetter {
  /** A number: `4711`. */
  id: string;
  member: string;
  /** The message. */
  value: Json;
  /** The last error of its handler. */
  error: string;
  attempts: number;
  diedAt: string;
  /** A process that sends, or `tracker/member` of the handler that did. */
  from: string;
  /** The member that the handler's reply goes to, as it did when it was sent. */
  replyTo: Address | null;
  trace: Trace | null;
}

export interface DeadLettersResult {
  chosen: number;
  /** False: it was a dry run. */
  applied: boolean;
}

export interface DeadLettersOptions extends CommandOptions {
  /** Without it, it is a dry run. */
  apply?: boolean;
}

/** $2: ids, or null for all; $3: a member; $4: part of the error; $5: age in milliseconds. */
const FILTER = `d.tracker = $1 and ($2::bigint[] is null or d.id = any($2)) and ($3::text is null or d.member = $3)
           and ($4::text is null or position(lower($4) in lower(d.error)) > 0)
           and d.died_at <= now() - make_interval(secs => $5::float8 / 1000)`;
const COLUMNS = `d.id::text as id, d.member, d.json, d.error, d.attempts, ${ms('d.died_at')} as died_at, d.sender, d.trace, d.reply_tracker, d.reply_id`;

const LIST: Statement = {
  name: 'client-member-dead',
  text: `select ${COLUMNS} from longwatch.member_dead d where ${FILTER} order by d.id limit $6`,
};
/**
 * A page of the same, behind the letter of ($6, $7): as many as were asked for, or as have room in some bytes ($9), and
 * one at least.
 */
const PAGE: Statement = {
  name: 'client-member-dead-page',
  text: `with found as materialized (
           select ${COLUMNS}, d.died_at as died, ${micros('d.died_at')} as place, d.id as number
           from longwatch.member_dead d
           where ${FILTER} and (d.died_at, d.id) > (coalesce(${timeOfMicros('$6')}, '-infinity'), $7::bigint)
           order by d.died_at, d.id limit $8
         ), sized as (
           select *, octet_length(json) as bytes, sum(octet_length(json)) over (order by died, number) as so_far from found
         )
         select id, member, json, error, attempts, died_at, sender, trace, reply_tracker, reply_id, place,
                (select count(*)::int from found) as found
         from sized where so_far - bytes < $9 order by died, number`,
};
const COUNT: Statement = {
  name: 'client-member-dead-count',
  text: `select count(*)::int as count from longwatch.member_dead d where ${FILTER}`,
};
/** A page of letters, without what is in them. It leaves those that another command has in hand. */
const TAKE: Statement = {
  name: 'client-member-dead-take',
  text: `select d.id::text as id, d.member from longwatch.member_dead d where ${FILTER} order by d.id limit $6 for update skip locked`,
};
const DROP: Statement = {
  name: 'client-member-dead-drop',
  text: `delete from longwatch.member_dead where id = any($1::bigint[])`,
};
/**
 * A message without a number: whatever its sender has told since, it is handled. In the order in which they died, each
 * with its trace, and with whom its reply goes to. Answers with the nodes to be told.
 */
const PUT_BACK: Statement = {
  name: 'client-member-dead-back',
  text: `with back as (
           delete from longwatch.member_dead d using unnest($2::bigint[], $3::bigint[]) as b (id, slot) where d.id = b.id
           returning d.id, d.member, d.sender, d.json, d.trace, d.reply_tracker, d.reply_id, b.slot
         ), put as (
           insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at, trace,
                                       reply_tracker, reply_id)
           select w.current, nextval('longwatch.stamp'), $1, b.member, b.slot, b.sender, b.json, octet_length(b.json),
                  clock_timestamp(), b.trace, b.reply_tracker, b.reply_id
           from (select * from back order by id) b cross join longwatch.mail_turn w
         )
         select distinct p.node, p.tracker, p.pool from back b join longwatch.tracker t on t.name = $1
         join longwatch.pool p on p.tracker = $1 and p.pool = longwatch.pool_of(longwatch.slot_of(b.slot), t.pools) and ${KEPT}`,
};
/** As senders do; the last statement of its transaction, since they wait for its lock. */
const MARK_USED: Statement = {
  name: 'client-mail-used',
  text: `update longwatch.mail_turn w set clean[w.current + 1] = false where w.clean[w.current + 1]`,
};
const ROWS = 1_000;
const LISTED = 1_000;
/** Messages of one page: a thousand of a megabyte each are more than one text has room for. */
const PAGE_BYTES = 4 * 1024 * 1024;

interface Taken {
  [column: string]: unknown;
  id: string;
  member: string;
}

interface Row {
  [column: string]: unknown;
  id: string;
  member: string;
  json: string;
  error: string;
  attempts: number;
  died_at: number;
  sender: string;
  trace: string | null;
  reply_tracker: string | null;
  reply_id: string | null;
}

/** When it died, and its number. */
const isPlace = (value: unknown): value is [number, string] =>
  Array.isArray(value) && value.length === 2 && isMicros(value[0]) && isBigint(value[1]);

export class MemberDeadLetters {
  constructor(
    private readonly tracker: string,
    private readonly connections: Connections,
    private readonly post: Post,
    /** Refuses where there is no such tracker. */
    private readonly known: () => Promise<TrackerOptions>,
  ) {}

  /** The oldest first. */
  async list(filter: DeadLetterFilter & { limit?: number } = {}): Promise<DeadLetter[]> {
    await this.known();
    const rows = await this.connections.rows<Row>(LIST, [...this.valuesOf(filter), filter.limit ?? LISTED]);
    return rows.map(letterOf);
  }

  /** The same in parts, each with some megabytes of messages at most. @throws InvalidCursorError */
  async page(filter: DeadLetterFilter & PageOptions = {}): Promise<Page<DeadLetter>> {
    const place = placeOf(filter.after, isPlace) ?? [null, '0'];
    await this.known();
    const size = pageSize(filter.limit);
    const values = [...this.valuesOf(filter), ...place, size, PAGE_BYTES];
    const rows = await this.connections.rows<Row & { found: number; place: number }>(PAGE, values);
    const last = rows.at(-1);
    const isAll = last === undefined || (rows.length === last.found && last.found < size);
    return { items: rows.map(letterOf), next: isAll ? null : cursorOf([last.place, last.id]) };
  }

  async count(filter: DeadLetterFilter = {}): Promise<number> {
    await this.known();
    return (await this.connections.rows<{ count: number }>(COUNT, this.valuesOf(filter)))[0]!.count;
  }

  /** @throws UnknownLetterError; InvalidMessageError for an id that is not one */
  async show(id: string): Promise<DeadLetter> {
    const [letter] = await this.list({ ids: [id] });
    if (!letter) throw new UnknownLetterError(`tracker '${this.tracker}' has no dead letter ${id}`);
    return letter;
  }

  /**
   * Mail again, behind what waits already, with all of its attempts. A dry run unless `apply` is set.
   * @throws DoesNotReceiveError; PlacedByRouteError where only a definition that this program does not know says where
   *   one of the members is. Nothing was done then
   */
  async retry(filter: DeadLetterFilter, options: DeadLettersOptions = {}): Promise<DeadLettersResult> {
    if (!(await this.known()).receive) throw new DoesNotReceiveError(this.tracker);
    const definition = this.connections.definitions.get(this.tracker);
    const keepers: PoolAt[] = [];
    const putBack = async (db: Queryable, letters: readonly Taken[]): Promise<void> => {
      const ids = letters.map(({ id }) => id);
      const members = letters.map(({ member }) => member);
      const slots = await slotsOfMembers(db, this.tracker, members, definition);
      const values = [this.tracker, ids, members.map((member) => slots.get(member))];
      keepers.push(...(await run<PoolAt & Record<string, unknown>>(db, PUT_BACK, values)));
    };
    const used = async (db: Queryable): Promise<void> => void (await run(db, MARK_USED));
    const result = await this.act('dead retry', filter, options, putBack, used);
    this.post.toldMail(keepers);
    return result;
  }

  /** Nothing is left of them. A dry run unless `apply` is set. */
  drop(filter: DeadLetterFilter, options: DeadLettersOptions = {}): Promise<DeadLettersResult> {
    const drop = async (db: Queryable, letters: readonly Taken[]): Promise<void> =>
      void (await run(db, DROP, [letters.map(({ id }) => id)]));
    return this.act('dead drop', filter, options, drop);
  }

  /** All of it in one transaction, with its row of the audit. */
  private async act(
    what: string,
    filter: DeadLetterFilter,
    { apply, why }: DeadLettersOptions,
    each: (db: Queryable, letters: readonly Taken[]) => Promise<void>,
    finish: (db: Queryable) => Promise<void> = () => Promise.resolve(),
  ): Promise<DeadLettersResult> {
    if (!apply) return { chosen: await this.count(filter), applied: false };
    await this.known();
    const values = this.valuesOf(filter);
    const { ids, ...rest } = filter;
    const asked = { ...rest, ids: ids?.slice(0, 100) };
    const before = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as Json;
    const command = { what, subject: `tracker/${this.tracker}`, before, why };
    return recorded(this.connections, command, async (db) => {
      let chosen = 0;
      for (;;) {
        const letters = await run<Taken>(db, TAKE, [...values, ROWS]);
        if (letters.length > 0) await each(db, letters);
        chosen += letters.length;
        if (letters.length < ROWS) break;
      }
      if (chosen > 0) await finish(db);
      return { result: { chosen, applied: true }, after: { chosen }, changed: chosen > 0 };
    });
  }

  private valuesOf({ ids, member, error, olderThanMs }: DeadLetterFilter): unknown[] {
    const wrong = ids?.find((id) => !/^\d{1,18}$/.test(id));
    if (wrong !== undefined) {
      throw new InvalidMessageError(`'${wrong}' is not the id of a dead letter of a member; ids look like 4711`);
    }
    for (const text of [member, error]) {
      const problem = text === undefined ? undefined : unstorable(text);
      if (problem !== undefined) throw new InvalidMessageError(`what is looked for ${problem}`);
    }
    return [this.tracker, ids ?? null, member ?? null, error ?? null, olderThanMs ?? 0];
  }
}

function letterOf(row: Row): DeadLetter {
  const { id, member, json, error, attempts, died_at: diedAt, sender: from, trace, reply_tracker, reply_id } = row;
  return {
    ...{ id, member, error, attempts, from },
    value: JSON.parse(json) as Json,
    diedAt: iso(diedAt),
    replyTo: reply_tracker === null || reply_id === null ? null : { tracker: reply_tracker, id: reply_id },
    trace: trace === null ? null : (JSON.parse(trace) as Trace),
  };
}
