/** Operations of any number of members on one node's ring, for `ring.test.ts` and `ring-turns.test.ts`. */
import { defineTracker, type OperationDefinition } from '../../exports';
import { member, shiftOf, T0, type Code, type Kit } from './shift-kit';

type Over = Partial<Omit<OperationDefinition, 'skipWhile'>>;

/** A tracker of one operation, each second. */
export const tracker = (name: string, run: Code, over: Over = {}) =>
  defineTracker({ name, operations: { look: { every: '1s', timeout: '5s', run, ...over } } });

/** That have been there for a second. */
export const members = (count: number, prefix = 'm') =>
  Array.from({ length: count }, (_, i) => member(`${prefix}${i}`, { addedAt: T0 - 1_000 }));

/** Code that never answers. */
export const hangs: Code = () => new Promise(() => undefined);

/** Loads a shift with so many members, on the node of `kit` or on one of its own. */
export function on(
  kit: Kit | undefined,
  name: string,
  count: number,
  run: Code,
  over: Over = {},
  setup: object = {},
): Kit {
  const next = shiftOf(tracker(name, run, over), { beside: kit, ...setup });
  next.shift.loadAll(members(count, name), []);
  return next;
}
