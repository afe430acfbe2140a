/**
 * A tracker's row: its state, layout, options and gate. Written by the root workflow's activities
 * (`roster/commands.ts`) and, the gate, by the node that asks it (`shift/gate.ts`); read by every shift when `version`
 * has grown.
 */
import type { ChangeNotice } from '../../../workflows/tracker/contract';
import { withChanges, type TrackerOptions } from '../../../workflows/tracker/options';
import { ErrorType } from '../../../workflows/lib/errors';
import { run, type Queryable, type Statement } from '../../lib/database';
import { failure } from '../../lib/failures';
import { routeInUse } from '../route';
import { askAnew } from './told';
import type { OptionChange, OptionChanges } from '../../../workflows/lib/options';
import type { RunState } from '../../../workflows/lib/contract';
import { newChanges } from '../../lib/new-changes';
import { ms } from '../../lib/sql';
import { sameJson } from '../../lib/same-json';

export interface TrackerRow {
  name: string;
  state: RunState;
  pools: number;
  version: number;
  /** The definition's options with what was set by hand laid over them. */
  options: TrackerOptions;
  /** Null: not known yet, which is closed. */
  gateOpen: boolean | null;
  /**
   * Since when an operation has been declared or enabled, where that was after the tracker's start: epoch milliseconds
   * of the database.
   */
  since?: Record<string, number>;
  /** The last command that has changed state or options. */
  command?: string | null;
  /** Whether its ids are, or ever were, placed by a route. */
  routed?: boolean;
}

const COLUMNS = 'name, state, pools, version::float8 as version, options, changes, since, gate_open, command, routed';

const SELECT: Statement = {
  name: 'tracker-select',
  text: `select ${COLUMNS} from longwatch.tracker where name = $1`,
};
const RUNNING: Statement = {
  name: 'tracker-running',
  text: `select name, coalesce(changes ->> 'placement.on', options -> 'placement' ->> 'on') as label
         from longwatch.tracker where state <> 'stopped'`,
};
const LOCK_SHARED: Statement = {
  name: 'tracker-lock-shared',
  text: `select ${COLUMNS} from longwatch.tracker where name = $1 for share`,
};
const LOCK: Statement = {
  name: 'tracker-lock',
  text: `select ${COLUMNS} from longwatch.tracker where name = $1 for no key update`,
};
const CREATE: Statement = {
  name: 'tracker-create',
  text: `insert into longwatch.tracker (name, options, routed) values ($1, $2, $2::jsonb ? 'route') on conflict (name) do nothing`,
};
const SET_COMMAND: Statement = {
  name: 'tracker-set-command',
  text: `update longwatch.tracker set command = $2 where name = $1`,
};
const SET_STATE: Statement = {
  name: 'tracker-set-state',
  text: `update longwatch.tracker set state = $2, version = version + 1 where name = $1`,
};
/**
 * $3: operations that begin now; $4: those that there are. A first run counts from then on, whichever shift it is that
 * runs it.
 */
const SINCE = `coalesce((
  select jsonb_object_agg(o, case when o = any($3::text[]) then to_jsonb(extract(epoch from clock_timestamp()) * 1000) else since -> o end)
  from unnest($4::text[]) as o where o = any($3::text[]) or since ? o), '{}')`;
const SET_OPTIONS: Statement = {
  name: 'tracker-set-options',
  text: `update longwatch.tracker
         set options = $2, since = ${SINCE}, routed = routed or $2::jsonb ? 'route', version = version + 1 where name = $1`,
};
const SET_CHANGES: Statement = {
  name: 'tracker-set-changes',
  text: `update longwatch.tracker set changes = $2, since = ${SINCE}, version = version + 1 where name = $1`,
};
/** Not a new version: shifts learn of the layout by their pools' roster versions. */
const SET_POOLS: Statement = {
  name: 'tracker-set-pools',
  text: `update longwatch.tracker set pools = $2 where name = $1`,
};
/** An answer that changes nothing only notes the time, so that shifts do not reload for it. */
const SET_GATE: Statement = {
  name: 'tracker-set-gate',
  text: `update longwatch.tracker
         set version = version + (gate_open is distinct from $2)::int, gate_open = $2, gate_checked_at = now(),
             gate_next_at = null
         where name = $1
         returning version::float8 as version`,
};
/** How old the answer is: of the last time that it was given, or that it was not to be asked for. */
const READ_GATE: Statement = {
  name: 'tracker-read-gate',
  text: `select ${ms('now() - greatest(gate_checked_at, gate_next_at)')} as age_ms,
                greatest(0, extract(epoch from gate_next_at - now()) * 1000)::float8 as wait_ms
         from longwatch.tracker where name = $1`,
};
/** Only one of those who find the answer old asks: whoever comes second finds it claimed. */
const CLAIM_GATE: Statement = {
  name: 'tracker-claim-gate',
  text: `update longwatch.tracker set gate_next_at = now() + make_interval(secs => $3::float8 / 1000)
         where name = $1
           and coalesce(greatest(gate_checked_at, gate_next_at), '-infinity')
               < now() - make_interval(secs => $2::float8 / 1000)
         returning extract(epoch from gate_next_at)::text as claim`,
};
const GATE_CLAIM: Statement = {
  name: 'tracker-gate-claim',
  text: `select extract(epoch from gate_next_at)::text as claim from longwatch.tracker where name = $1`,
};
const HOLD_GATE: Statement = {
  name: 'tracker-hold-gate',
  text: `update longwatch.tracker set gate_next_at = now() + make_interval(secs => $2::float8 / 1000) where name = $1`,
};
const RELEASE_GATE: Statement = {
  name: 'tracker-release-gate',
  text: `update longwatch.tracker set gate_next_at = null where name = $1`,
};
const CLUSTER_POOLS: Statement = {
  name: 'tracker-cluster-pools',
  text: `select coalesce(sum(pools), 0)::int as pools from longwatch.tracker where state <> 'stopped'`,
};
const IN_USE: Statement = {
  name: 'tracker-in-use',
  text: `select exists (select from longwatch.member where tracker = $1 and removed_at is null)
             or exists (select from longwatch.mail where tracker = $1)
             or exists (select from longwatch.life where tracker = $1) as used`,
};
const NOTIFY: Statement = { name: 'notify', text: `select pg_notify($1, $2)` };

interface RawRow {
  name: string;
  state: RunState;
  pools: number;
  version: number;
  options: TrackerOptions;
  changes: OptionChanges;
  since: Record<string, number>;
  gate_open: boolean | null;
  command: string | null;
  routed: boolean;
}

/** How much a reader holds on to the row: nothing, the layout (shared), or all of it. */
export type RowLock = 'nothing' | 'shared' | 'all';
const BY_LOCK: Record<RowLock, Statement> = { nothing: SELECT, shared: LOCK_SHARED, all: LOCK };

export async function readTracker(
  db: Queryable,
  name: string,
  lock: RowLock = 'nothing',
): Promise<TrackerRow | undefined> {
  const raw = await readRaw(db, name, lock);
  return (
    raw && {
      name: raw.name,
      state: raw.state,
      pools: raw.pools,
      version: raw.version,
      options: withChanges(raw.options, raw.changes),
      gateOpen: raw.gate_open,
      since: raw.since,
      command: raw.command,
      routed: raw.routed,
    }
  );
}

async function readRaw(db: Queryable, name: string, lock: RowLock): Promise<RawRow | undefined> {
  return (await run<RawRow & Record<string, unknown>>(db, BY_LOCK[lock], [name]))[0];
}

/** The trackers that are not stopped, each with the label that a node needs for it. */
export async function runningTrackers(db: Queryable): Promise<Map<string, string | undefined>> {
  const rows = await run<{ name: string; label: string | null }>(db, RUNNING);
  return new Map(rows.map(({ name, label }) => [name, label ?? undefined]));
}

export async function createTracker(db: Queryable, name: string, options: TrackerOptions): Promise<void> {
  await run(db, CREATE, [name, JSON.stringify(options)]);
}

export async function setCommand(db: Queryable, name: string, command: string): Promise<void> {
  await run(db, SET_COMMAND, [name, command]);
}

export async function setState(db: Queryable, name: string, state: RunState): Promise<void> {
  await run(db, SET_STATE, [name, state]);
}

/**
 * Stores a definition's options; false when they were the same. A new version of an operation's code, or another codec
 * of its values, asks its members anew.
 * @throws BadOption for another route while there are members: they would not be found where they are
 */
export async function storeOptions(db: Queryable, name: string, options: TrackerOptions): Promise<boolean> {
  const raw = await readRaw(db, name, 'all');
  if (!raw || sameJson(raw.options, options)) return false;
  if (raw.options.route !== options.route && (await isInUse(db, name)))
    throw failure(ErrorType.BadOption, routeInUse(name, raw.options.route));
  await run(db, SET_OPTIONS, [name, JSON.stringify(options), ...beginnings(raw, options, raw.changes)]);
  const renewed = Object.entries(options.operations)
    .filter(([operation, { version, codec }]) => {
      const before = raw.options.operations[operation];
      return before !== undefined && ((before.version ?? 1) !== (version ?? 1) || before.codec !== codec);
    })
    .map(([operation]) => operation);
  if (renewed.length > 0) await askAnew(db, name, renewed, ['']);
  return true;
}

/** Whether anything is stored by the place of its member; the remains of a removed one count for a day. */
export async function isInUse(db: Queryable, name: string): Promise<boolean> {
  return (await run<{ used: boolean }>(db, IN_USE, [name]))[0]!.used;
}

/**
 * Lays changes over the options, or takes them back (`value: null`); false when nothing is different.
 * @throws Changed where the row has another version than `expects`
 */
export async function storeChanges(
  db: Queryable,
  name: string,
  changes: OptionChange[],
  expects?: number,
): Promise<boolean> {
  const raw = await readRaw(db, name, 'all');
  if (!raw) return false;
  const next = newChanges(`tracker ${name}`, raw, changes, expects);
  if (!next) return false;
  await run(db, SET_CHANGES, [name, JSON.stringify(next), ...beginnings(raw, raw.options, next)]);
  return true;
}

/**
 * The operations that begin with these options and changes, that were not declared before or not enabled; and all that
 * there are.
 */
function beginnings(before: RawRow, options: TrackerOptions, changes: RawRow['changes']): [string[], string[]] {
  const was = withChanges(before.options, before.changes).operations;
  const is = withChanges(options, changes).operations;
  const begins = Object.entries(is).filter(([name, { enabled }]) => enabled && !was[name]?.enabled);
  return [begins.map(([name]) => name), Object.keys(is)];
}

/**
 * The pools of all trackers that are not stopped: as many shifts live where all is well, also a moment after a cold
 * start, when none does yet.
 */
export async function countClusterPools(db: Queryable): Promise<number> {
  return (await run<{ pools: number }>(db, CLUSTER_POOLS))[0]!.pools;
}

export async function setPools(db: Queryable, name: string, pools: number): Promise<void> {
  await run(db, SET_POOLS, [name, pools]);
}

export async function setGate(db: Queryable, name: string, open: boolean): Promise<void> {
  await run(db, SET_GATE, [name, open]);
}

/** @returns how old the answer is (null: there is none), and for how long nobody is to ask; milliseconds */
export async function readGate(db: Queryable, name: string): Promise<{ ageMs: number | null; waitMs: number }> {
  const [row] = await run<{ age_ms: number | null; wait_ms: number | null }>(db, READ_GATE, [name]);
  return { ageMs: row?.age_ms ?? null, waitMs: row?.wait_ms ?? 0 };
}

/**
 * Takes over the asking where the answer is older than `oldMs`. @returns the claim; undefined: somebody else has it.
 */
export async function claimGate(
  db: Queryable,
  name: string,
  oldMs: number,
  forMs: number,
): Promise<string | undefined> {
  return (await run<{ claim: string }>(db, CLAIM_GATE, [name, oldMs, forMs]))[0]?.claim;
}

export async function gateClaim(db: Queryable, name: string): Promise<string | null> {
  return (await run<{ claim: string | null }>(db, GATE_CLAIM, [name]))[0]?.claim ?? null;
}

/** The upstream asked not to be asked for so long: nobody does, and the last answer counts meanwhile. */
export async function holdGate(db: Queryable, name: string, forMs: number): Promise<void> {
  await run(db, HOLD_GATE, [name, forMs]);
}

/** The node that claimed the asking got no answer: the last one is as old as it was. */
export async function releaseGate(db: Queryable, name: string): Promise<void> {
  await run(db, RELEASE_GATE, [name]);
}

/** Bytes: PostgreSQL refuses a payload of 8,000, and the whole transaction with it. */
const LONGEST_NOTICE = 7_900;

/**
 * Tells every node, when the transaction commits. Only a hint: a node that misses it looks within a second. A notice
 * that would be too long goes without its pools, and then each pool of the tracker looks.
 */
export async function notify(db: Queryable, channel: string, notice: ChangeNotice): Promise<void> {
  const whole = JSON.stringify(notice);
  const payload = Buffer.byteLength(whole) <= LONGEST_NOTICE ? whole : JSON.stringify({ tracker: notice.tracker });
  await run(db, NOTIFY, [channel, payload]);
}
