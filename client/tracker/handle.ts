/**
 * One tracker, from outside: start it, change who is on it, read what it knows. Got from `Longwatch.tracker`; used by
 * programs and by every verb of the command line. Roster changes go to `roster.ts`, commands to `commands.ts`, and
 * what is read comes from PostgreSQL (`queries.ts`).
 */
import { optionChange } from '../../config/change';
import { didYouMean } from '../../config/suggest';
import type { Json } from '../../config/define/tracker';
import {
  declareUpdate,
  ensureCapacityUpdate,
  pauseUpdate,
  reconfigureUpdate,
  resumeUpdate,
  stopUpdate,
  type ChangeNotice,
} from '../../workflows/tracker/contract';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import { poolOf } from '../../workflows/tracker/plan';
import { slotsOf } from '../../workflows/tracker/slots';
import { command } from '../commands';
import type { Connections } from '../connections';
import {
  NotTrackedError,
  NoWorkerError,
  TimedOutError,
  TrackerStoppedError,
  UnknownOperationError,
  UnknownPoolError,
  UnknownTrackerError,
} from '../errors';
import { EVER_HAD_MEMBERS, LIST, LIST_POOL, NOTIFY, POOLS, SHOW, TRACKER, TRACKER_NAMES } from './queries';
import { collectIds } from './ids';
import { changeRoster, type RosterOptions, type RosterResult, type RosterSender } from './roster';
import { sameOptions, type Setting } from '../settings';
import { readStatus, type TrackerSummary } from '../status';
import { askAnew, openHolds, readHolds, type HoldSummary, type RefetchResult } from './told';
import type { OptionChange } from '../../workflows/lib/options';
import {
  NOTIFY_CHANNEL,
  type CommandResult,
  type ReconfigureResult,
  type RunState,
} from '../../workflows/lib/contract';
import { settingsOf } from './settings';
import { startRoot } from './start';
import { sleep } from '../../activities/lib/sleep';

const PAGE = 5_000;
const START_MS = 30_000;

export interface StartResult {
  /** True: it ran before; nothing was changed. */
  alreadyRunning: boolean;
  state: RunState;
  /** It runs with other options than those given; `declare` hands them over. */
  differs: boolean;
}

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
}

export interface StoredValue {
  operation: string;
  value: Json;
  fetchedAt: string | null;
  ageMs: number | null;
  changedAt: string | null;
  expiresAt: string | null;
  etag: string | null;
  heldUntil: string | null;
  failedAt: string | null;
  /** Since the last success. */
  failures: number;
  error: string | null;
}

export interface MemberDetails extends Member {
  tracker: string;
  node: string | null;
  values: StoredValue[];
  /** Of the tracker and its operations, which hold every member. */
  holds: HoldSummary[];
}

export interface ReconcileResult {
  /** In the list and not tracked. */
  missing: string[];
  /** Tracked and not in the list. */
  surplus: string[];
  /** In both. */
  matching: number;
  duplicates: number;
  applied: boolean;
}

export interface ListOptions {
  /** Only ids after this one. */
  after?: string;
  limit?: number;
  pool?: number;
}

interface Row {
  [column: string]: unknown;
  state: RunState;
  pools: number;
  options: TrackerOptions;
  changes: Record<string, OptionChange['value']>;
}

export class TrackerHandle {
  constructor(
    readonly name: string,
    private readonly connections: Connections,
  ) {}

  /**
   * Starts the tracker, or does nothing when it runs. Returns once a worker has opened it.
   * @param options compiled (`resolveConfig`); without them, a tracker that was stopped starts with those it had.
   * @throws UnknownTrackerError without options for a tracker that has never been started; NoWorkerError.
   */
  async start(options?: TrackerOptions): Promise<StartResult> {
    const before = await this.find();
    if (!before && !options) throw await this.unknown();
    await this.connections.ownNamespace();
    const started = await startRoot(this.connections, this.name, options ?? before?.options);
    const row = await this.opened();
    const differs = !started && options !== undefined && !sameOptions(row.options, options);
    return { alreadyRunning: !started, state: row.state, differs };
  }

  /** Ends every shift and the tracker's workflows. Members and values stay; `start` goes on with them. */
  async stop(): Promise<CommandResult> {
    try {
      return await this.update(stopUpdate, []);
    } catch (error) {
      if (error instanceof TrackerStoppedError) return { state: 'stopped', changed: false };
      throw error;
    }
  }

  /** Nothing is fetched until `resume`; adds and removals are still taken. */
  pause(): Promise<CommandResult> {
    return this.update(pauseUpdate, []);
  }

  /** Also takes pools out of quarantine. */
  resume(): Promise<CommandResult> {
    return this.update(resumeUpdate, []);
  }

  /** Gives a running tracker the options of a new version of its definition; what was set by hand stays. */
  declare(options: TrackerOptions): Promise<ReconfigureResult> {
    return this.update(declareUpdate, [options]);
  }

  /**
   * Changes options while it runs: `set({ 'operations.location.every': '500ms' })`; null takes a change back.
   * @throws ConfigError for an unknown path or a value that may not stand.
   */
  async set(changes: Record<string, string | number | boolean | null>): Promise<ReconfigureResult> {
    const row = await this.require();
    const operations = Object.keys(row.options.operations);
    const compiled = Object.entries(changes).map(([path, value]) => optionChange(path, value, operations));
    return this.update(reconfigureUpdate, [compiled]);
  }

  /** Every option, its value and where that comes from. */
  async config(): Promise<Setting[]> {
    const row = await this.shown();
    return settingsOf(row.options, row.changes);
  }

  /** The compiled options that hold now. */
  async options(): Promise<TrackerOptions> {
    const row = await this.shown();
    return withChanges(row.options, row.changes);
  }

  /** Tracks ids. Resolves when Temporal has them durably, or, with `wait`, when they are in the database. */
  add(ids: Iterable<string> | AsyncIterable<string>, options?: RosterOptions): Promise<RosterResult> {
    return changeRoster(this.sender(), 'add', ids, options);
  }

  /** Stops tracking ids and forgets their values. */
  remove(ids: Iterable<string> | AsyncIterable<string>, options?: RosterOptions): Promise<RosterResult> {
    return changeRoster(this.sender(), 'remove', ids, options);
  }

  /** Members in the order of their ids, read a page at a time. */
  list(options: ListOptions = {}): AsyncGenerator<Member> {
    return this.members('read', options);
  }

  /** @param from `rows` where a change rests on it. */
  private async *members(from: 'read' | 'rows', options: ListOptions): AsyncGenerator<Member> {
    const { pools } = await (from === 'read' ? this.shown() : this.require());
    this.requirePool(options.pool, pools);
    const slots = options.pool === undefined ? undefined : slotsOf(options.pool, pools);
    let after = options.after ?? '';
    let left = options.limit ?? Infinity;
    while (left > 0) {
      const size = Math.min(PAGE, left);
      const statement = slots ? LIST_POOL : LIST;
      const bounds = slots ? [slots.first, slots.last] : [];
      const page = await this.connections[from]<ListRow>(statement, [this.name, after, size, ...bounds]);
      for (const { id, hash, added_at: added } of page) yield { id, pool: poolOf(hash, pools), addedAt: iso(added)! };
      if (page.length < size) return;
      after = page.at(-1)!.id;
      left -= page.length;
    }
  }

  /** Whether anything was ever tracked, as far as it is remembered (`tombstones`). */
  async everHadMembers(): Promise<boolean> {
    return (await this.connections.rows<{ had: boolean }>(EVER_HAD_MEMBERS, [this.name]))[0]!.had;
  }

  async pools(): Promise<PoolSummary[]> {
    const rows = await this.connections.read<PoolRow>(POOLS, [this.name]);
    if (rows.length === 0) throw await this.unknown();
    return rows.map((row) => ({
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
    }));
  }

  /** One member and all that is known of it. @throws NotTrackedError */
  async show(id: string): Promise<MemberDetails> {
    let rows = await this.connections.read<ShowRow>(SHOW, [this.name, id]);
    // A replica may not have it yet.
    if (this.connections.readsReplica && rows.length === 0)
      rows = await this.connections.rows<ShowRow>(SHOW, [this.name, id]);
    const first = rows[0];
    if (!first || first.removed_at !== null) {
      await this.require();
      throw new NotTrackedError(this.name, id, iso(first?.removed_at ?? null) ?? undefined);
    }
    return {
      tracker: this.name,
      id: first.id,
      pool: first.pool,
      node: first.node,
      addedAt: iso(first.added_at)!,
      values: rows.filter((row) => row.operation !== null).map(toValue),
      holds: await readHolds(this.connections, this.name),
    };
  }

  /** What upstreams have asked to be left alone for, the longest first. */
  async holds(): Promise<HoldSummary[]> {
    await this.shown();
    return readHolds(this.connections, this.name);
  }

  /**
   * Lifts the holds of an operation, or all of the tracker's, also those of single members; every node asks the
   * upstream again within a second, and obeys it when it is refused again. @returns the holds that were in force.
   */
  async openHolds(operation?: string): Promise<HoldSummary[]> {
    await this.requireOperation(operation);
    const opened = await openHolds(this.connections, this.name, operation);
    await this.announce();
    return opened;
  }

  /**
   * Forgets ETags and expiries, so that these members (without ids: all) are asked anew, within a second; values stay
   * until there are others. For code that makes something else of the same answer, or an upstream that keeps to an old
   * one.
   */
  async refetch(ids?: readonly string[], options: { operation?: string } = {}): Promise<RefetchResult> {
    await this.requireOperation(options.operation);
    const result = await askAnew(this.connections, this.name, options.operation, ids);
    await this.announce();
    return result;
  }

  async status(): Promise<TrackerSummary> {
    const found = (await readStatus(this.connections, this.name)).trackers[0];
    if (!found) throw await this.unknown();
    return found;
  }

  /**
   * Compares a list with what is tracked, reading members a page at a time; with `apply`, adds what is missing and
   * removes what is too much.
   */
  async reconcile(
    given: Iterable<string> | AsyncIterable<string>,
    options: RosterOptions & { apply?: boolean } = {},
  ): Promise<ReconcileResult> {
    const { ids, duplicates } = await collectIds(given, options.position);
    const missing = new Set(ids);
    const surplus: string[] = [];
    for await (const { id } of this.members('rows', {})) if (!missing.delete(id)) surplus.push(id);
    const result = { missing: [...missing], surplus, matching: ids.length - missing.size, duplicates };
    if (options.apply) {
      // The places in the list have been checked; what is sent now has others.
      const sending = { ...options, position: undefined };
      if (result.missing.length > 0) await this.add(result.missing, sending);
      if (surplus.length > 0) await this.remove(surplus, sending);
    }
    return { ...result, applied: options.apply === true };
  }

  /** For practice: the shift of this pool fails as if by a bug, and is started again with all of its members. */
  async crash(pool: number): Promise<void> {
    const row = await this.require();
    this.requirePool(pool, row.pools);
    const notice: ChangeNotice = { tracker: this.name, pools: [pool], crash: true };
    await this.connections.rows(NOTIFY, [NOTIFY_CHANNEL, JSON.stringify(notice)]);
  }

  private async requireOperation(operation: string | undefined): Promise<void> {
    const { options } = await this.require();
    if (operation !== undefined && !Object.hasOwn(options.operations, operation))
      throw new UnknownOperationError(this.name, operation, Object.keys(options.operations));
  }

  /** So that nodes look at once; who does not hear it looks within a second. */
  private async announce(): Promise<void> {
    const notice: ChangeNotice = { tracker: this.name };
    await this.connections.rows(NOTIFY, [NOTIFY_CHANNEL, JSON.stringify(notice)]);
  }

  private sender(): RosterSender {
    return {
      connections: this.connections,
      tracker: this.name,
      unknown: () => this.unknown(),
      ensureCapacity: async (members) => (await this.update(ensureCapacityUpdate, [{ members }], true)).pools,
    };
  }

  private update<R, A extends unknown[]>(
    definition: Parameters<typeof command<R, A>>[2],
    args: A,
    long = false,
  ): Promise<R> {
    return command(this.connections, this.name, definition, args, { long, unknown: () => this.unknown() });
  }

  private async find(): Promise<Row | undefined> {
    return (await this.connections.rows<Row>(TRACKER, [this.name]))[0];
  }

  private async require(): Promise<Row> {
    const row = await this.find();
    if (!row) throw await this.unknown();
    return row;
  }

  /** The row for what is only shown; it may come from a replica. */
  private async shown(): Promise<Row> {
    const row = (await this.connections.read<Row>(TRACKER, [this.name]))[0];
    return row ?? this.require();
  }

  private requirePool(pool: number | undefined, pools: number): void {
    if (pool === undefined) return;
    if (!Number.isInteger(pool) || pool < 0 || pool >= pools) throw new UnknownPoolError(this.name, pool, pools);
  }

  private async unknown(): Promise<Error> {
    const names = (await this.connections.rows<{ name: string }>(TRACKER_NAMES)).map((row) => row.name);
    return new UnknownTrackerError(this.name, didYouMean(this.name, names), names);
  }

  /** Waits until a worker has written the row of a tracker that was just started. */
  private async opened(): Promise<Row> {
    const deadline = Date.now() + START_MS;
    let mayHaveWorker = true;
    for (let round = 0; ; round++) {
      const row = await this.find();
      if (row && row.state !== 'stopped') return row;
      // Asked once, after a moment: a worker of the development stack may just be coming up.
      if (round === 25) mayHaveWorker = await this.connections.workersPoll().catch(() => true);
      if (Date.now() > deadline || !mayHaveWorker) break;
      await sleep(round < 10 ? 50 : 250);
    }
    const what = `tracker '${this.name}' is started, and nobody has opened it yet`;
    if (!mayHaveWorker) throw new NoWorkerError(what, ' (it begins as soon as one does)');
    throw new TimedOutError(`${what}; see the worker's log`);
  }
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
}

interface ShowRow {
  [column: string]: unknown;
  id: string;
  pool: number;
  added_at: number;
  node: string | null;
  removed_at: number | null;
  now: number;
  operation: string | null;
  value: Json;
  etag: string | null;
  failures: number;
  error: string | null;
  fetched_at: number | null;
  expires_at: number | null;
  changed_at: number | null;
  failed_at: number | null;
  held_until: number | null;
}

function toValue(row: ShowRow): StoredValue {
  return {
    operation: row.operation!,
    value: row.value,
    fetchedAt: iso(row.fetched_at),
    ageMs: row.fetched_at === null ? null : Math.max(0, Math.round(row.now - row.fetched_at)),
    changedAt: iso(row.changed_at),
    expiresAt: iso(row.expires_at),
    etag: row.etag,
    heldUntil: iso(row.held_until),
    failedAt: iso(row.failed_at),
    failures: row.failures,
    error: row.error,
  };
}

function iso(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}
