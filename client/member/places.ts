/**
 * The slots that members' mail lies in, for who reads it or puts it back: by the id, or by the route that the tracker's
 * row says. The rows of members say it to a program that does not know that route. Called by `lives.ts`
 * and `dead.ts`.
 */
import { run, type Queryable, type Statement } from '../../activities/lib/database';
import { placingOf } from '../../activities/tracker/route';
import { slotOf } from '../../workflows/tracker/slots';
import type { KnownDefinition } from '../tracker/decode';
import { PlacedByRouteError } from './errors';

/** By the life, which stays where it was made; a member that has had no turn has no life. */
const PLACES: Statement = {
  name: 'client-member-places',
  text: `select i.id, t.options ->> 'route' as route, coalesce(l.slot, m.slot)::float8 as slot
         from unnest($2::text[]) as i (id) left join longwatch.tracker t on t.name = $1
         left join longwatch.life l on l.tracker = $1 and l.id = i.id
         left join longwatch.member m on m.tracker = $1 and m.id = i.id and m.removed_at is null`,
};

interface Row {
  [column: string]: unknown;
  id: string;
  route: string | null;
  slot: number | null;
}

/**
 * The slot of each of these ids. @throws PlacedByRouteError where one has no row, and only a definition that this
 * program does not know says where it is
 */
export async function slotsOfMembers(
  db: Queryable,
  tracker: string,
  ids: readonly string[],
  definition: KnownDefinition | undefined,
): Promise<Map<string, number>> {
  const rows = await run<Row>(db, PLACES, [tracker, [...new Set(ids)]]);
  const route = rows[0]?.route ?? undefined;
  const isKnown = route === undefined || definition?.route?.name === route;
  const placing = isKnown ? placingOf(tracker, route, definition) : undefined;
  return new Map(
    rows.map(({ id, slot }) => {
      if (placing) return [id, slotOf(placing(id))];
      if (slot === null) throw new PlacedByRouteError(tracker, undefined);
      return [id, slot];
    }),
  );
}
