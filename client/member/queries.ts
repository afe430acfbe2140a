/** The statements of `client/member/`, but for those of the mail itself (`activities/tracker/store/mail.ts`). */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';

/** All that a sender must know of a tracker, and the time. */
export const RECEIVING: Statement = {
  name: 'member-receiving',
  text: `select t.state, t.options, t.changes, ${ms('clock_timestamp()')} as now
         from (values (1)) as one left join longwatch.tracker t on t.name = $1`,
};

/** A look into the index for each. A join is planned while there are few replies, and would go on to read all. */
export const REPLIES: Statement = {
  name: 'member-replies',
  text: `select r.request, r.json, r.error, r.message
         from unnest($1::text[], $2::text[], $3::text[]) as a (tracker, member, request)
         cross join lateral (
           select * from longwatch.reply r where r.tracker = a.tracker and r.member = a.member and r.request = a.request limit 1
         ) r
         limit $4`,
};
