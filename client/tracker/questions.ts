/**
 * How many ids there are, where one is kept, and whether it is kept right now: one statement each, so that an answer is
 * of one moment also while nodes move. Called by `handle.ts` and `longwatch.ts`; for other programs the same is in the
 * views of migration 0022.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import type { RunState } from '../../workflows/lib/contract';
import { unstorable } from '../../workflows/lib/text';
import type { Connections } from '../connections';
import { iso } from '../iso';

export interface TrackerCount {
  tracker: string;
  state: RunState;
  members: number;
  /** Members of pools that live nodes keep right now. */
  membersKept: number;
  pools: number;
  poolsKept: number;
}

/**
 * `kept`: a live node has its fence. `between shifts`: its shift has ended and the next one has not begun. `node gone`:
 * the node that has its fence was not heard of for five seconds.
 */
export type PlaceState = 'kept' | 'between shifts' | 'never kept' | 'node gone' | 'quarantined' | 'stopped';

export interface Place {
  tracker: string;
  id: string;
  pool: number;
  /** The node that has its fence, or had it last; null: none had it yet. */
  node: string | null;
  state: PlaceState;
  /** Since when that node has it. */
  takenAt: string | null;
  addedAt: string;
}

export interface Alive extends Place {
  alive: boolean;
  /** When its node was last heard of, or its shift ended. Milliseconds; null: none had it yet. */
  silentMs: number | null;
  /** Its last run that was stored, of any operation, good or bad. Null: none yet. */
  lastRunAt: string | null;
  lastRunMs: number | null;
}

const COUNT: Statement = {
  name: 'client-count',
  text: `select tracker, state, pools, members::float8 as members, pools_kept, members_kept::float8 as members_kept
         from longwatch.tracker_count where $1::text is null or tracker = $1 order by tracker`,
};

const PLACE = `p.id, p.pool, p.node, p.state, ${ms('p.taken_at')} as taken_at, ${ms('p.added_at')} as added_at`;

/** A row with nulls: the tracker does not have it. No row: there is no such tracker. */
const WHERE: Statement = {
  name: 'client-where',
  text: `select ${PLACE} from longwatch.tracker t
         left join longwatch.member_place p on p.tracker = t.name and p.id = $2 where t.name = $1`,
};

const ALIVE: Statement = {
  name: 'client-alive',
  text: `select ${PLACE}, ${ms('p.silent')} as silent_ms, ${ms('r.last')} as last_run_at,
                ${ms('clock_timestamp() - r.last')} as last_run_ms
         from longwatch.tracker t
         left join longwatch.member_place p on p.tracker = t.name and p.id = $2
         left join lateral (
           select max(greatest(v.fetched_at, v.failed_at)) as last
           from longwatch.member m join longwatch.value v on v.member = m.key
           where m.tracker = t.name and m.id = p.id
         ) r on true
         where t.name = $1`,
};

interface PlaceRow {
  [column: string]: unknown;
  id: string | null;
  pool: number;
  node: string | null;
  state: PlaceState;
  taken_at: number | null;
  added_at: number;
}

interface AliveRow extends PlaceRow {
  silent_ms: number | null;
  last_run_at: number | null;
  last_run_ms: number | null;
}

/** The answer; or which of the two there is not. */
type Found<T> = T | 'no tracker' | 'not tracked';

/**
 * Read where it is written, as the others: a replica that is some seconds behind would say that nobody keeps anything.
 * @param tracker only this one
 */
export async function countMembers(connections: Connections, tracker?: string): Promise<TrackerCount[]> {
  type Row = Omit<TrackerCount, 'membersKept' | 'poolsKept'> & { members_kept: number; pools_kept: number };
  const rows = await connections.rows<Row>(COUNT, [tracker ?? null]);
  return rows.map(({ members_kept: membersKept, pools_kept: poolsKept, ...row }) => ({
    ...row,
    membersKept,
    poolsKept,
  }));
}

export async function findPlace(connections: Connections, tracker: string, id: string): Promise<Found<Place>> {
  const [row] = await connections.rows<PlaceRow>(WHERE, [tracker, askable(id)]);
  return row === undefined ? 'no tracker' : row.id === null ? 'not tracked' : placeOf(tracker, row);
}

export async function findAlive(connections: Connections, tracker: string, id: string): Promise<Found<Alive>> {
  const [row] = await connections.rows<AliveRow>(ALIVE, [tracker, askable(id)]);
  if (row === undefined) return 'no tracker';
  if (row.id === null) return 'not tracked';
  return {
    ...placeOf(tracker, row),
    alive: row.state === 'kept',
    silentMs: whole(row.silent_ms),
    lastRunAt: iso(row.last_run_at),
    lastRunMs: whole(row.last_run_ms),
  };
}

function placeOf(tracker: string, row: PlaceRow): Place {
  return {
    tracker,
    id: row.id!,
    pool: row.pool,
    node: row.node,
    state: row.state,
    takenAt: iso(row.taken_at),
    addedAt: iso(row.added_at),
  };
}

/** Nothing can be tracked that PostgreSQL does not take: null is nobody's id. */
const askable = (id: string): string | null => (unstorable(id) === undefined ? id : null);

const whole = (milliseconds: number | null): number | null =>
  milliseconds === null ? null : Math.max(0, Math.round(milliseconds));
