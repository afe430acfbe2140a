/**
 * The statements for what is left of members that are removed (`roster/apply.ts` calls `endLives` in its transaction),
 * and for what is forgotten a while later (`turns/housekeeping.ts` calls `purgeLives`).
 */
import { slotOf } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import { MEMBER, type MemberLimits } from '../member/constants';
import { removedBefore } from '../member/ended';
import { marksFromJson, marksToJson, sealed } from '../member/marks';
import type { MemberChange } from './members';

/** The numbers of its messages stay, so that none of them is handled in another life. */
const LOCK_MARKS: Statement = {
  name: 'life-lock-marks',
  text: `select id, marks from longwatch.life where tracker = $1 and id = any($2::text[]) order by id for update`,
};
const DELETE_MAIL: Statement = {
  name: 'mail-delete-of',
  text: `delete from longwatch.mail m using unnest($2::text[], $3::bigint[], $4::bigint[]) r (id, slot, stamp)
         where m.tracker = $1 and m.slot = r.slot and m.member = r.id and m.id < r.stamp
         returning m.member, m.sender, m.number::float8 as number, ${ms('m.stored_at')} as stored_at, m.request, m.client`,
};
const DELETE_TIMERS: Statement = {
  name: 'timer-delete-of',
  text: `delete from longwatch.timer where tracker = $1 and id = any($2::text[])`,
};
const END: Statement = {
  name: 'life-end',
  text: `with noted as (
           insert into longwatch.life_ended as n (tracker, id, slot)
           select $1, e.id, e.slot from unnest($2::text[], $3::bigint[]) e (id, slot)
           on conflict (tracker, id) do update set ended_at = clock_timestamp()
         )
         insert into longwatch.life as l (tracker, id, slot, version, marks)
         select $1, e.id, e.slot, 1, e.marks from unnest($2::text[], $3::bigint[], $4::text[]) e (id, slot, marks)
         on conflict (tracker, id) do update
         set version = l.version + 1, state = null, schema = 1, applied = '[]', marks = excluded.marks, written_at = clock_timestamp()`,
};

const ANSWER_REMOVED: Statement = {
  name: 'reply-removed',
  text: `insert into longwatch.reply (tracker, member, slot, request, client, error, message)
         select $1, a.* from unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) a
         on conflict do nothing returning member, request, client`,
};
/**
 * In pages, each a transaction: nothing waits long for one. A reply stays while the same request waits once more,
 * however long nobody reads it.
 */
const PURGE_REPLIES: Statement = {
  name: 'reply-purge',
  text: `delete from longwatch.reply r using (
           select e.tracker, e.member, e.request from longwatch.reply e
           where e.answered_at < now() - make_interval(secs => $1::float8 / 1000)
             and not exists (
               select 1 from longwatch.mail m
               where m.tracker = e.tracker and m.slot = e.slot and m.member = e.member and m.request = e.request
             )
           order by e.answered_at limit $2 for update of e skip locked
         ) o where r.tracker = o.tracker and r.member = o.member and r.request = o.request returning 1`,
};
/** One that is a member again by now, or has a state, was noted for nothing. */
const PURGE_LIVES: Statement = {
  name: 'life-purge',
  text: `with old as (
           select l.tracker, l.id,
                  l.state is null and not exists (
                    select 1 from longwatch.member m where m.tracker = l.tracker and m.id = l.id and m.removed_at is null
                  ) as over
           from longwatch.life_ended e join longwatch.life l on l.tracker = e.tracker and l.id = e.id
           where e.ended_at < now() - make_interval(secs => $1::float8 / 1000)
             and (l.state is not null or l.written_at < now() - make_interval(secs => $1::float8 / 1000))
             and not exists (select 1 from longwatch.mail m where m.tracker = e.tracker and m.slot = e.slot and m.member = e.id)
           order by e.ended_at limit $2 for update of l skip locked
         ), forgotten as (
           delete from longwatch.life l using old o where o.over and l.tracker = o.tracker and l.id = o.id
         )
         delete from longwatch.life_ended e using old o where e.tracker = o.tracker and e.id = o.id returning 1`,
};
const PURGE_ROWS = 1_000;

/**
 * Ends lives, in the transaction that removes the members and has locked their pools. Requests that go with them are
 * answered. @returns whom to tell of it
 */
export async function endLives(
  db: Queryable,
  tracker: string,
  removals: readonly Pick<MemberChange, 'id' | 'stamp' | 'hash'>[],
): Promise<{ member: string; request: string; client: string }[]> {
  const ids = removals.map(({ id }) => id);
  const slots = removals.map(({ hash }) => slotOf(hash));
  const slotBy = new Map(ids.map((id, at) => [id, slots[at]!]));
  type Gone = { member: string; sender: string; number: number | null; stored_at: number } & Partial<Asked>;
  const stored = await run<{ id: string; marks: string }>(db, LOCK_MARKS, [tracker, ids]);
  const before = new Map(stored.map(({ id, marks }) => [id, marks]));
  const stamps = removals.map(({ stamp }) => stamp);
  const gone = await run<Gone>(db, DELETE_MAIL, [tracker, ids, slots, stamps]);
  await run(db, DELETE_TIMERS, [tracker, ids]);
  const marks = ids.map((id) => {
    const mail = gone.filter(({ member }) => member === id);
    const numbered = mail.map(({ sender, number, stored_at }) => ({
      from: sender,
      number: number ?? undefined,
      storedAt: stored_at,
    }));
    return marksToJson(sealed(marksFromJson(before.get(id) ?? null), numbered));
  });
  await run(db, END, [tracker, ids, slots, marks]);
  return answerRemoved(db, tracker, gone, slotBy);
}

interface Asked {
  request: string | null;
  client: string | null;
}

async function answerRemoved(
  db: Queryable,
  tracker: string,
  gone: readonly ({ member: string } & Partial<Asked>)[],
  slotBy: ReadonlyMap<string, number>,
) {
  const asked = gone.filter(({ request }) => request != null);
  const errors = asked.map(({ member }) => removedBefore({ tracker, id: member }));
  return run<{ member: string; request: string; client: string }>(db, ANSWER_REMOVED, [
    tracker,
    asked.map(({ member }) => member),
    asked.map(({ member }) => slotBy.get(member)),
    asked.map(({ request }) => request),
    asked.map(({ client }) => client),
    errors.map(({ type }) => type),
    errors.map(({ message }) => message),
  ]);
}

/**
 * Forgets replies that nobody may ask for any more, and the numbers of senders at members that were removed as long
 * ago as they count. One page. @returns whether there may be more
 */
export async function purgeLives(db: Queryable, { repliesMs, marksMs }: MemberLimits = MEMBER): Promise<boolean> {
  const replies = await run(db, PURGE_REPLIES, [repliesMs, PURGE_ROWS]);
  const lives = await run(db, PURGE_LIVES, [marksMs, PURGE_ROWS]);
  return replies.length === PURGE_ROWS || lives.length === PURGE_ROWS;
}
