/**
 * Whether the code of this node can read the states of a pool's members: one that is older than what has written them
 * would fail message after message, up to dead letters. Asked by `take-pool.ts` before it takes the fence of a pool; a
 * pool that is declined goes to another node, and is offered again until one can.
 */
import type { Logger } from 'pino';
import { run, type Database, type Statement } from '../../lib/database';
import { mayKeep, leftBy, type StateVersions } from '../member/loading';
import type { PoolClaim } from '../store/fence';
import { readSlots } from '../store/pools';
import type { PlacingEvent } from './figures';

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
  placed(what: PlacingEvent, tracker: string): void;
}

/** @returns why the pool is not to be kept here; undefined: all of its states can be read */
export async function unreadableHere(
  node: Partial<Reader>,
  database: Pick<Database, 'transaction'>,
  { tracker, pool }: PoolClaim,
): Promise<string | undefined> {
  const versions = node.turns?.codeOf(tracker)?.versions;
  if (!versions) return undefined;
  const rows = await database.transaction(async (db) => {
    const { first, last } = await readSlots(db, tracker, pool);
    return run<{ schema: number; members: number }>(db, NEWER, [tracker, first, last, versions.version]);
  });
  const states = new Map(rows.map(({ schema, members }) => [schema, members]));
  if (mayKeep(states, versions)) return undefined;
  const [left] = leftBy(states, versions);
  const why = `pool ${pool} of ${tracker} has states that the code of this node does not know (members: ${left!.members}): ${left!.why}`;
  node.placed?.('declined', tracker);
  node.log?.error({ tracker, pool, stored: left!.version, known: versions.version }, `does not take the pool: ${why}`);
  return `${why}; roll out the newer code, or give the state its down`;
}
