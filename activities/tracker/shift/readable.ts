/**
 * Whether the code of this node can read the states of a pool's members: one that is older than what has written them
 * would fail message after message, up to dead letters. Asked by `take-pool.ts` before it takes the fence of a pool.
 * Such a pool is handed on to a node that says that it can read them; where none does it is declined, and offered again
 * until one can.
 */
import type { Logger } from 'pino';
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import { run, type Database, type Statement } from '../../lib/database';
import { mayKeep, leftBy, type StateVersions } from '../member/loading';
import type { Decision } from '../placement/take';
import type { PoolClaim, SeenFence } from '../store/fence';
import { readSlots } from '../store/pools';
import type { TrackerRow } from '../store/trackers';
import { declinedFor } from './declined';
import type { FailingPools } from './failing-pools';
import type { PlacingEvent } from './figures';
import type { Placing } from './placing';

/** The states of one pool, by the index of its slots. Older ones are read, or are the mistake of the definition. */
const NEWER: Statement = {
  name: 'life-newer',
  text: `select schema, count(*)::float8 as members from longwatch.life
         where tracker = $1 and slot between $2 and $3 and version > 0 and state is not null and schema > $4
         group by schema`,
};

/** The node, as far as it is needed here. */
export interface Reader {
  readonly turns?: { codeOf(tracker: string): { readonly versions: StateVersions } | undefined } | undefined;
  readonly log: Logger;
  readonly failing: Pick<FailingPools, 'failed'>;
  placed(what: PlacingEvent, tracker: string): void;
}

/** States that the code of this node does not know. */
interface Unread {
  /** The newest of them. */
  readonly version: number;
  readonly why: string;
}

/** @returns undefined: all of its states can be read */
export async function unreadableHere(
  node: Partial<Reader>,
  database: Pick<Database, 'transaction'>,
  { tracker, pool }: PoolClaim,
): Promise<Unread | undefined> {
  const versions = node.turns?.codeOf(tracker)?.versions;
  if (!versions) return undefined;
  const rows = await database.transaction(async (db) => {
    const { first, last } = await readSlots(db, tracker, pool);
    return run<{ schema: number; members: number }>(db, NEWER, [tracker, first, last, versions.version]);
  });
  const states = new Map(rows.map(({ schema, members }) => [schema, members]));
  if (mayKeep(states, versions)) return undefined;
  // The newest ones: whoever knows these knows the others.
  const { version, members, why } = leftBy(states, versions).at(-1)!;
  const text = `pool ${pool} of ${tracker} has states that the code of this node does not know (members: ${members}): ${why}`;
  return { version, why: text };
}

/**
 * The end of its shift here.
 * @throws Declined where no node that lives says that it knows them
 */
export function leaveToOthers(
  node: Partial<Reader> & { placing: Partial<Pick<Placing, 'handOn'>> },
  claim: PoolClaim,
  { tracker, seen }: { tracker: TrackerRow; seen: SeenFence },
  { version, why }: Unread,
): Exclude<Decision, { answer: 'take' }> {
  const to = node.placing.handOn?.(tracker, seen, claim, version);
  const said = { tracker: claim.tracker, pool: claim.pool, stored: version };
  if (to !== undefined) {
    node.placed?.('redirected', claim.tracker);
    node.log?.info({ ...said, to }, `hands the pool on: ${why}`);
    return { answer: 'redirect', to };
  }
  const text = `${why}; roll out the newer code, or give the state its down`;
  node.placed?.('declined', claim.tracker);
  if (node.failing?.failed(claim, text)) node.log?.error(said, `does not take the pool: ${text}`);
  throw failure(ErrorType.Declined, text, { nextRetryDelay: declinedFor(claim.attempt) });
}
