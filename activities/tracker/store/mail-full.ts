/**
 * Says which pools have so much mail that their senders must wait (`longwatch.mail_full`): their mail is counted, no
 * further than its bounds matter, and the rule of `member/admission.ts` decides. The node that keeps a pool counts it
 * while it has more mail than the node has in memory (`turns/reader.ts`); the mail of a pool that nobody keeps is
 * counted by those who send there (`unkept.ts`). Senders ask the table with each batch (`mail.ts`), and
 * commits of turns for what handlers send: no message costs a count.
 */
import { performance } from 'node:perf_hooks';
import type { Slots } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { classOf } from '../../lib/sqlstate';
import { isPoolFull } from '../member/admission';
import { MEMBER, type MemberLimits } from '../member/constants';

const COUNT: Statement = {
  name: 'mail-count',
  text: `select p.place::int as place, w.entries::float8 as entries, w.bytes::float8 as bytes,
                f.tracker is not null as was_full, coalesce(f.for_handlers, false) as was_full_for_handlers
         from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) with ordinality as p (tracker, pool, first, last, place)
         cross join lateral (
           select count(*) as entries, coalesce(sum(m.bytes), 0) as bytes from (
             select m.bytes from longwatch.mail m where m.tracker = p.tracker and m.slot between p.first and p.last limit $5
           ) m
         ) w
         left join longwatch.mail_full f on f.tracker = p.tracker and f.pool = p.pool`,
};
/** A tracker that was purged meanwhile is left out. */
const SAY: Statement = {
  name: 'mail-say-full',
  text: `insert into longwatch.mail_full as f (tracker, pool, entries, bytes, for_handlers)
         select p.* from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bool[]) as p (tracker, pool, entries, bytes, for_handlers)
         join longwatch.tracker t on t.name = p.tracker order by p.tracker, p.pool
         on conflict (tracker, pool) do update
         set entries = excluded.entries, bytes = excluded.bytes, for_handlers = excluded.for_handlers, counted_at = clock_timestamp()`,
};
const LIFT: Statement = {
  name: 'mail-not-full',
  text: `delete from longwatch.mail_full f using unnest($1::text[], $2::int[]) as p (tracker, pool)
         where f.tracker = p.tracker and f.pool = p.pool`,
};

export interface CountedPool {
  readonly tracker: string;
  readonly pool: number;
  readonly slots: Slots;
}

interface Counted extends CountedPool {
  readonly entries: number;
  readonly bytes: number;
  readonly wasFull: boolean;
  readonly isFull: boolean;
  readonly isFullForHandlers: boolean;
}

/** Pools of one statement: each may have hundreds of thousands of messages, and a statement has some seconds. */
const TOGETHER = 4;

/**
 * Counts the mail of these pools, and says of each whether it is full. If it takes too long for some, it counts the
 * others all the same. @throws what it failed with
 */
export async function sayWhichAreFull(
  db: Queryable,
  pools: readonly CountedPool[],
  limits: Pick<MemberLimits, 'poolMail' | 'handlerPoolMail'> = MEMBER,
): Promise<void> {
  const failed: unknown[] = [];
  for (let from = 0; from < pools.length; from += TOGETHER) {
    try {
      await sayOfSome(db, pools.slice(from, from + TOGETHER), limits);
    } catch (thrown) {
      if (classOf(thrown) !== 'cancelled') throw thrown;
      failed.push(thrown);
    }
  }
  if (failed.length > 0) throw failed[0];
}

async function sayOfSome(
  db: Queryable,
  pools: readonly CountedPool[],
  limits: Pick<MemberLimits, 'poolMail' | 'handlerPoolMail'>,
): Promise<void> {
  const counted = await count(db, pools, limits);
  const full = counted.filter(({ isFull }) => isFull);
  const lifted = counted.filter(({ wasFull, isFull }) => wasFull && !isFull);
  const places = (of: readonly CountedPool[]) => [of.map(({ tracker }) => tracker), of.map(({ pool }) => pool)];
  if (full.length > 0) {
    await run(db, SAY, [
      ...places(full),
      full.map(({ entries }) => entries),
      full.map(({ bytes }) => bytes),
      full.map(({ isFullForHandlers }) => isFullForHandlers),
    ]);
  }
  if (lifted.length > 0) await run(db, LIFT, places(lifted));
}

async function count(
  db: Queryable,
  pools: readonly CountedPool[],
  { poolMail, handlerPoolMail }: Pick<MemberLimits, 'poolMail' | 'handlerPoolMail'>,
): Promise<Counted[]> {
  type Row = {
    place: number;
    entries: number;
    bytes: number;
    was_full: boolean;
    was_full_for_handlers: boolean;
  };
  const rows = await run<Row>(db, COUNT, [
    pools.map(({ tracker }) => tracker),
    pools.map(({ pool }) => pool),
    pools.map(({ slots }) => slots.first),
    pools.map(({ slots }) => slots.last),
    Math.max(poolMail.entries, handlerPoolMail.entries),
  ]);
  return rows.map(({ place, entries, bytes, was_full: wasFull, was_full_for_handlers: wasForHandlers }) => ({
    ...pools[place - 1]!,
    ...{ entries, bytes, wasFull },
    isFull: isPoolFull(wasFull, { entries, bytes }, poolMail),
    isFullForHandlers: isPoolFull(wasForHandlers, { entries, bytes }, handlerPoolMail),
  }));
}

/** A count takes no more than this part of the time, so that what is too much is not made worse by counting it. */
const PART = 1 / 20;
const LEAST_MS = 1_000;

/** When the next count is due. One at a time: whoever counts calls `run`, which does nothing before. */
export class CountTimes {
  private notBefore = 0;
  private underWay: Promise<void> | undefined;

  get isDue(): boolean {
    return !this.underWay && performance.now() >= this.notBefore;
  }

  /** @param work never rejects */
  run(work: () => Promise<void>): void {
    if (!this.isDue) return;
    const began = performance.now();
    this.underWay = work().finally(() => {
      const now = performance.now();
      this.notBefore = now + Math.max(LEAST_MS, (now - began) / PART);
      this.underWay = undefined;
    });
  }

  /** The count that is under way has ended. */
  async idle(): Promise<void> {
    await this.underWay;
  }
}
