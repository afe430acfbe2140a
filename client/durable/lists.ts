/**
 * Lists of durable activities in parts: leases, keys of an activity, compensations that could not be carried out. Each
 * page goes on in an index where the one before it ended, so that it takes the same time however many there are.
 * Called by `handle.ts`; shown by the page and by the verbs `leases`, `keys` and `saga`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { storable } from '../../workflows/lib/text';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { isText, pageOf, pageSize, placeOf, type Page, type PageOptions } from '../page';

export interface LeaseSummary {
  task: string;
  activity: string;
  workflow: string;
  owner: string;
  attempt: number;
  /** The resource that it holds, if any: only one execution at a time may. */
  resource: string | null;
  heldMs: number;
  /** Until it runs out; negative: it has, and the next attempt may take it. */
  leftMs: number;
}

export interface BrokenCompensation {
  /** The argument of `retry` and `resolve`. */
  task: string;
  activity: string;
  /** The workflow whose saga it belongs to. */
  saga: string;
  /** The task whose effect it takes back. */
  target: string;
  state: 'failed' | 'retrying';
  attempts: number;
  failedAt: string;
  error: string | null;
}

/** A key as a list shows it. */
export interface KeySummary {
  key: string;
  state: 'reserved' | 'done' | 'failed';
  /** The execution that has it, and its workflow. */
  task: string;
  workflow: string;
  attempts: number;
  createdAt: string;
}

const LEASE = `task, activity, workflow_id as workflow, owner, attempt - unused as attempt, resource,
                ${ms('clock_timestamp() - changed_at')} as held_ms, ${ms('lease_expires_at - clock_timestamp()')} as left_ms`;
const LEASES: Statement = {
  name: 'client-leases',
  text: `select ${LEASE} from longwatch.task where state = 'leased' order by lease_expires_at limit $1`,
};
/** A lease is renewed again and again: in the order of its time it would come again on a later page. */
const LEASES_PAGE: Statement = {
  name: 'client-leases-page',
  text: `select ${LEASE} from longwatch.task where state = 'leased' and task > $1 order by task limit $2`,
};
/**
 * Compensations that failed for good or are tried again by hand, and that their key still points to: the others were
 * replaced by a newer execution of the same key. Behind $1; in the order of their time one that is tried again
 * meanwhile would come twice.
 */
const BROKEN: Statement = {
  name: 'client-saga-page',
  text: `select t.task, t.activity, t.saga, t.target, t.state, t.attempt - t.unused as attempts,
                ${ms('t.changed_at')} as changed_at, t.error
         from longwatch.task t
         where t.kind = 'compensation' and (t.state = 'failed' or (t.state in ('waiting', 'leased') and t.note is not null))
           and t.task > $1
           and exists (
             select from longwatch.idempotency i
             where i.activity = t.activity and i.key_hash = t.key_hash and i.task = t.task offset 0)
         order by t.task limit $2`,
};
/** The keys of one activity, in the order of their hashes. Behind $2. */
const KEYS: Statement = {
  name: 'client-keys-page',
  text: `select i.key, i.task, t.state, coalesce(t.workflow, '') as workflow, coalesce(t.attempts, 0) as attempts,
                ${ms('i.created_at')} as created_at, encode(i.key_hash, 'hex') as place
         from (
           select * from longwatch.idempotency where activity = $1 and key_hash > decode($2, 'hex')
           order by key_hash limit $3
         ) i
         left join lateral (
           select state, workflow_id as workflow, attempt - unused as attempts from longwatch.task
           where task = i.task offset 0
         ) t on true
         order by i.key_hash`,
};

type LeaseRow = Omit<LeaseSummary, 'heldMs' | 'leftMs'> & { held_ms: number; left_ms: number };
type BrokenRow = Omit<BrokenCompensation, 'state' | 'failedAt' | 'error'> & {
  state: string;
  changed_at: number;
  error: { message: string } | null;
};
type KeyRow = Omit<KeySummary, 'state' | 'createdAt'> & { state: string | null; created_at: number; place: string };

/** The one that runs out next first. */
export async function readLeases(connections: Connections, limit: number): Promise<LeaseSummary[]> {
  return (await connections.read<LeaseRow>(LEASES, [limit])).map(leaseOf);
}

/** In the order of their tasks. */
export async function pageOfLeases(
  connections: Connections,
  { after, limit }: PageOptions,
): Promise<Page<LeaseSummary>> {
  const size = pageSize(limit);
  const rows = await connections.read<LeaseRow>(LEASES_PAGE, [placeOf(after, isText) ?? '', size + 1]);
  return pageOf(rows, size, leaseOf, ({ task }) => task);
}

/** In the order of their tasks. */
export async function pageOfBroken(
  connections: Connections,
  { after, limit }: PageOptions,
): Promise<Page<BrokenCompensation>> {
  const size = pageSize(limit);
  const rows = await connections.read<BrokenRow>(BROKEN, [placeOf(after, isText) ?? '', size + 1]);
  return pageOf(rows, size, brokenOf, ({ task }) => task);
}

/** An activity that nobody has called has none. */
export async function pageOfKeys(
  connections: Connections,
  activity: string,
  { after, limit }: PageOptions,
): Promise<Page<KeySummary>> {
  const size = pageSize(limit);
  const rows = await connections.read<KeyRow>(KEYS, [storable(activity), placeOf(after, isHash) ?? '', size + 1]);
  return pageOf(rows, size, keyOf, ({ place }) => place);
}

const isHash = (value: unknown): value is string => typeof value === 'string' && /^([0-9a-f]{2}){1,64}$/.test(value);

const leaseOf = ({ held_ms: heldMs, left_ms: leftMs, ...row }: LeaseRow): LeaseSummary => ({ ...row, heldMs, leftMs });

const brokenOf = ({ changed_at: changedAt, state, error, ...row }: BrokenRow): BrokenCompensation => ({
  ...row,
  state: state === 'failed' ? 'failed' : 'retrying',
  failedAt: iso(changedAt),
  error: error?.message ?? null,
});

const keyOf = ({ state, created_at: createdAt, place: _, ...row }: KeyRow): KeySummary => ({
  ...row,
  state: keyState(state),
  createdAt: iso(createdAt),
});

/** @param state of the execution that has the key */
export const keyState = (state: string | null): KeySummary['state'] =>
  state === 'failed' ? 'failed' : state === 'completed' || state === 'resolved' ? 'done' : 'reserved';
