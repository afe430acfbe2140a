/**
 * The hash by which an id has its place among a tracker's pools: that of the id itself, or of the text that the
 * definition's `route` gives for it, so that ids of one text share a pool. Everything that writes by id asks here: adds
 * and removals (`roster/apply.ts`), turns and mail (`store/lives.ts`, `store/mail.ts`). A reader goes by the slot of
 * the row.
 */
import type { Route, TrackerDefinition } from '../../config/define/tracker';
import { ErrorType } from '../../workflows/lib/errors';
import { hashId } from '../../workflows/lib/hash';
import { errorOf, failure } from '../lib/failures';

/** The hash of an id of one tracker. */
export type Placing = (id: string) => number;

/** Ids by themselves: no tracker says otherwise. */
export const byId: Placing = hashId;

/**
 * The placing of a tracker's ids, by what its row says: a route counts only once it was declared.
 * @param declared the name of the route in the tracker's row; undefined: it has none
 * @param definition as this process knows it
 * @param failed told of an id for which the route's code failed; it has its place by itself then
 * @throws NotDefinedHere where the process does not know that route; another one may
 */
export function placingOf(
  tracker: string,
  declared: string | undefined,
  definition: Pick<TrackerDefinition, 'route'> | undefined,
  failed: (error: Error, id: string) => void = () => undefined,
): Placing {
  if (declared === undefined) return byId;
  const route = definition?.route;
  if (route?.name !== declared) throw notDefinedHere(tracker, declared, route);
  return (id) => {
    try {
      return hashId(textOf(route, id));
    } catch (thrown) {
      failed(errorOf(thrown), id);
      return hashId(id);
    }
  };
}

function textOf(route: Route, id: string): string {
  const text: unknown = route.of(id);
  if (text === undefined) return id;
  if (typeof text === 'string') return text;
  throw new TypeError(`route '${route.name}' must return text or undefined, at once, and not ${typeof text}`);
}

export function notDefinedHere(tracker: string, declared: string, route: Route | undefined): Error {
  const here = route === undefined ? 'has none of that name' : `has '${route.name}'`;
  return failure(
    ErrorType.NotDefinedHere,
    `ids of ${tracker} are placed by route '${declared}', and this process ${here}; give it that definition`,
  );
}

/** Why another route is refused. */
export function routeInUse(tracker: string, route: string | undefined): string {
  const by = route === undefined ? 'by themselves' : `by route '${route}'`;
  return (
    `${tracker} has members (or mail), which are placed ${by}: another route is taken when it has none. Remove them ` +
    `(longwatch reconcile ${tracker} --apply with an empty list), start it with --update, and add them again`
  );
}
