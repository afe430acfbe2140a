/**
 * The states of a pool's members, and whether the code of this node can read them: one that is older than what has
 * written them would fail message after message, up to dead letters. Asked by `take-pool.ts`, before a pool is offered
 * and once more when its fence is taken. Placement gives such a pool to a node that can read it (`placement/take.ts`);
 * where none can, it is declined, and offered again until one does.
 */
import type { Logger } from 'pino';
import { ErrorType } from '../../../workflows/lib/errors';
import { slotsOf } from '../../../workflows/tracker/slots';
import { failure } from '../../lib/failures';
import { run, type Queryable, type Statement } from '../../lib/database';
import { leftBy, mayKeep, type ByVersion, type StateVersions } from '../member/loading';
import type { PoolClaim } from '../store/fence';
import type { TrackerRow } from '../store/trackers';
import { declinedFor } from './declined';
import type { FailingPools } from './failing-pools';
import type { PlacingEvent } from './figures';

/** The states of one pool, by the index of its slots. */
const STATES: Statement = {
  name: 'life-states',
  text: `select schema, count(*)::float8 as members from longwatch.life
         where tracker = $1 and slot between $2 and $3 and version > 0 and state is not null
         group by schema`,
};

/** The node, as far as it is needed here. */
export interface Reader {
  readonly turns?: { codeOf(tracker: string): { readonly versions: StateVersions } | undefined } | undefined;
  readonly log: Logger;
  readonly failing: Pick<FailingPools, 'failed'>;
  placed(what: PlacingEvent, tracker: string): void;
}

const NONE: ByVersion = new Map();

/** The states of the pool; none where its members cannot have any. */
export async function statesOf(
  node: Partial<Reader>,
  db: Queryable,
  { tracker: name, pool }: PoolClaim,
  tracker: Pick<TrackerRow, 'options' | 'pools'>,
): Promise<ByVersion> {
  if (tracker.options.receive === undefined && !node.turns?.codeOf(name)) return NONE;
  const { first, last } = slotsOf(pool, tracker.pools);
  const rows = await run<{ schema: number; members: number }>(db, STATES, [name, first, last]);
  return new Map(rows.map(({ schema, members }) => [schema, members]));
}

export const newestOf = (states: ByVersion): number => Math.max(0, ...states.keys());

/** Why the code of this node cannot read them; undefined: it can, or it has no code that would. */
export function unread(node: Partial<Reader>, { tracker, pool }: PoolClaim, states: ByVersion): string | undefined {
  const versions = node.turns?.codeOf(tracker)?.versions;
  if (!versions || mayKeep(states, versions)) return undefined;
  // The newest ones: whoever knows these knows the others.
  const { members, why } = leftBy(states, versions).at(-1)!;
  return `pool ${pool} of ${tracker} has states that the code of this node does not know (members: ${members}): ${why}`;
}

/** The end of its shift here: it is offered again, later each time, and the node says why. */
export function unreadable(node: Partial<Reader>, claim: PoolClaim, why: string): Error {
  const text = `${why}; roll out the newer code, or give the state its down`;
  if (node.failing?.failed(claim, text)) {
    const { tracker, pool } = claim;
    node.log?.error({ tracker, pool }, `does not take the pool: ${text}`);
  }
  return failure(ErrorType.Declined, text, { nextRetryDelay: declinedFor(claim.attempt) });
}
