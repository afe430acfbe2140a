/**
 * A tracker's members and pools, read from PostgreSQL. Called by `handle.ts` for `list`, `show`,
 * `pools` and `reconcile`.
 */
import type { RunState } from '../../workflows/lib/contract';
import type { Json } from '../../workflows/lib/json';
import { poolOf } from '../../workflows/tracker/plan';
import { slotsOf } from '../../workflows/tracker/slots';
import type { OptionChanges } from '../../workflows/lib/options';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import { decoded, type Decoded, type KnownDefinition } from './decode';
import { NotTrackedError } from '../errors';
import { iso } from '../iso';
import { briefLife, type BriefLife } from '../member/lives';
import { pageOf, pageSize, placeOf, type Page, type PageOptions } from '../page';
import { LIST, LIST_POOL, POOLS, POOLS_PAGE, SHOW } from './queries';
import { readHolds, type HoldSummary } from './told';
import { readWaits, type WaitSummary } from './waits';

/** Members read at once. */
const PAGE = 5_000;
/** Far more than there can be. */
const MOST_POOLS = 1e9;

export interface Member {
  id: string;
  pool: number;
  addedAt: string;
}

export interface PoolSummary {
  pool: number;
  members: number;
  /** The node that keeps it, or kept it last. */
  node: string | null;
  onShift: boolean;
  shift: number | null;
  attempt: number | null;
  takenAt: string | null;
  /** In a row; three put it in quarantine, and `resume` takes it out. */
  crashes: number;
  quarantinedAt: string | null;
  lastError: string | null;
  /** Since when its shift has been asked for on this task queue, where no node began it for a minute. */
  unbegunSince: string | null;
  unbegunOn: string | null;
}

export interface StoredValue extends Decoded {
  operation: string;
  /** Its definition says that its values are shown to nobody: `value` is null, whatever is stored. */
  hidden: boolean;
  fetchedAt: string | null;
  ageMs: number | null;
  changedAt: string | null;
  expiresAt: string | null;
  etag: string | null;
  heldUntil: string | null;
  /**
   * When it is fetched next at the earliest, by its interval, Expires, holds and limits; null: nobody knows, as while
   * its tracker does not run.
   */
  nextAt: string | null;
  failedAt: string | null;
  /** Since the last success. */
  failures: number;
  error: string | null;
}

export interface MemberDetails extends Member {
  tracker: string;
  /** The tracker's: nothing is fetched while it is not running. */
  state: RunState;
  /** The node that keeps its pool, or kept it last. */
  node: string | null;
  values: StoredValue[];
  /** Holds of the tracker and its operations, which hold every member. */
  holds: HoldSummary[];
  /** Buckets of its upstream that hold it back for more than some seconds. */
  waits: WaitSummary[];
  /** Its state, mail and timers in brief, where its tracker receives. Null: it has none of them. */
  life: BriefLife | null;
}

export interface ListOptions {
  /** Only ids after this one. */
  after?: string;
  limit?: number;
  pool?: number;
}

/**
 * Members in the order of their ids, read a page at a time.
 * @param pools of the tracker
 * @param from `rows` where a change rests on it
 */
export async function* readMembers(
  connections: Connections,
  tracker: string,
  pools: number,
  options: ListOptions,
  from: 'read' | 'rows',
): AsyncGenerator<Member> {
  const slots = options.pool === undefined ? undefined : slotsOf(options.pool, pools);
  const statement = slots ? LIST_POOL : LIST;
  const bounds = slots ? [slots.first, slots.last] : [];
  let after = options.after ?? '';
  let left = options.limit ?? Infinity;
  while (left > 0) {
    const size = Math.min(PAGE, left);
    const page = await connections[from]<ListRow>(statement, [tracker, after, size, ...bounds]);
    for (const { id, hash, added_at: added } of page) yield { id, pool: poolOf(hash, pools), addedAt: iso(added) };
    if (page.length < size) return;
    after = page.at(-1)!.id;
    left -= page.length;
  }
}

/** None: there is no such tracker. */
export async function readPools(connections: Connections, tracker: string): Promise<PoolSummary[]> {
  return (await connections.read<PoolRow>(POOLS, [tracker])).map(poolSummary);
}

/** By their numbers. */
export async function pageOfPools(
  connections: Connections,
  tracker: string,
  { after, limit }: PageOptions,
): Promise<Page<PoolSummary>> {
  const first = (placeOf(after, isPool) ?? -1) + 1;
  const size = pageSize(limit);
  const rows = await connections.read<PoolRow>(POOLS_PAGE, [tracker, first, size + 1]);
  return pageOf(rows, size, poolSummary, ({ pool }) => pool);
}

const isPool = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST_POOLS;

function poolSummary(row: PoolRow): PoolSummary {
  return {
    pool: row.pool,
    members: row.members,
    node: row.node,
    onShift: row.on_shift,
    shift: row.shift,
    attempt: row.attempt,
    takenAt: iso(row.taken_at),
    crashes: row.crashes,
    quarantinedAt: iso(row.quarantined_at),
    lastError: row.last_error,
    unbegunSince: iso(row.unbegun_since),
    unbegunOn: row.unbegun_on,
  };
}

/** One member and all that is known of it; an error to throw where it is not tracked. */
export async function readMember(
  connections: Connections,
  tracker: string,
  id: string,
): Promise<MemberDetails | NotTrackedError> {
  let rows = await connections.read<ShowRow>(SHOW, [tracker, id]);
  // A replica may not have it yet.
  if (connections.readsReplica && rows.length === 0) rows = await connections.rows<ShowRow>(SHOW, [tracker, id]);
  const first = rows[0];
  if (!first || first.removed_at !== null)
    return new NotTrackedError(tracker, id, iso(first?.removed_at ?? null) ?? undefined);
  const waits = await readWaits(connections, tracker, id);
  const holds = await readHolds(connections, tracker);
  const definition = connections.definitions.get(tracker);
  return {
    tracker,
    state: first.state,
    id: first.id,
    pool: first.pool,
    node: first.node,
    addedAt: iso(first.added_at),
    values: rows
      .filter((row) => row.operation !== null)
      .map((row) => toValue(tracker, row, { waits, holds }, definition)),
    holds,
    waits,
    life: await briefLife(connections, tracker, first.id),
  };
}

interface ListRow {
  [column: string]: unknown;
  id: string;
  hash: number;
  added_at: number;
}

interface PoolRow {
  [column: string]: unknown;
  pool: number;
  members: number;
  node: string | null;
  on_shift: boolean;
  shift: number | null;
  attempt: number | null;
  taken_at: number | null;
  crashes: number;
  quarantined_at: number | null;
  last_error: string | null;
  unbegun_since: number | null;
  unbegun_on: string | null;
}

/** The facts by which an operation's next run is known. */
type NextRow = Pick<
  ShowRow,
  'state' | 'operation' | 'options' | 'changes' | 'fetched_at' | 'failed_at' | 'expires_at' | 'held_until' | 'error'
>;

interface ShowRow {
  [column: string]: unknown;
  id: string;
  pool: number;
  added_at: number;
  node: string | null;
  removed_at: number | null;
  now: number;
  state: RunState;
  options: TrackerOptions;
  changes: OptionChanges;
  operation: string | null;
  value: Json;
  codec: string | null;
  etag: string | null;
  failures: number;
  error: string | null;
  fetched_at: number | null;
  expires_at: number | null;
  changed_at: number | null;
  failed_at: number | null;
  held_until: number | null;
}

function toValue(
  tracker: string,
  row: ShowRow,
  heldBack: HeldBack,
  definition: KnownDefinition | undefined,
): StoredValue {
  const { id, value, codec } = row;
  const hidden = row.options.operations[row.operation!]?.hidden === true;
  const shown = hidden
    ? { value: null, encodedBy: null, decodeError: null }
    : decoded({ tracker, id, operation: row.operation!, value, codec }, definition);
  return {
    operation: row.operation!,
    hidden,
    ...shown,
    fetchedAt: iso(row.fetched_at),
    ageMs: row.fetched_at === null ? null : Math.max(0, Math.round(row.now - row.fetched_at)),
    changedAt: iso(row.changed_at),
    expiresAt: iso(row.expires_at),
    etag: row.etag,
    heldUntil: iso(row.held_until),
    nextAt: nextAt(row, heldBack),
    failedAt: iso(row.failed_at),
    failures: row.failures,
    error: row.error,
  };
}

/** The things that hold back more than one member. */
export interface HeldBack {
  waits: readonly WaitSummary[];
  holds: readonly Pick<HoldSummary, 'operation' | 'heldUntil'>[];
}

/** By what is stored and told; a shift that is late, or an operation that stands still, is seen elsewhere. */
export function nextAt(row: NextRow, { waits, holds }: HeldBack): string | null {
  if (row.state !== 'running') return null;
  const wait = waits.find(({ operation }) => operation === row.operation);
  if (wait && wait.until === null) return null;
  const options = withChanges(row.options, row.changes).operations[row.operation!];
  const ran = Math.max(row.fetched_at ?? 0, row.failed_at ?? 0);
  if (!options?.enabled || ran === 0) return null;
  // Its definition said when it is tried again (`retryDelay`), which may be sooner than the interval.
  const isTimed = row.held_until !== null && !row.error?.startsWith('HoldError:');
  const next = isTimed ? 0 : ran + options.everyMs;
  const held = holds
    .filter(({ operation }) => operation === null || operation === row.operation)
    .map(({ heldUntil }) => Date.parse(heldUntil));
  const times = [next, row.expires_at ?? 0, row.held_until ?? 0, wait ? Date.parse(wait.until!) : 0, ...held];
  return iso(Math.max(...times));
}
