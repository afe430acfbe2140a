/**
 * One tracker, from outside: start it, change who is on it, read what it knows. Got from `Longwatch.tracker`; used by
 * programs and by every verb of the command line. Its part that buffers and jobs have too is `unit.ts`; roster changes
 * go to `roster.ts`, and what is read comes from PostgreSQL (`members.ts`, `told.ts`).
 */
import type { Client } from '@temporalio/client';
import { run, type Queryable } from '../../activities/lib/database';
import { optionChange } from '../../config/change';
import type { Receiver } from '../../config/define/member';
import { NOTIFY_CHANNEL } from '../../workflows/lib/contract';
import type { OptionChange } from '../../workflows/lib/options';
import {
  declareUpdate,
  ensureCapacityUpdate,
  pauseUpdate,
  reconfigureUpdate,
  resumeUpdate,
  stopUpdate,
  trackerWorkflowId,
  type ChangeNotice,
} from '../../workflows/tracker/contract';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import { announced, recorded, type CommandOptions } from '../audit';
import { movePool, type MoveResult } from '../cluster/move';
import type { Connections } from '../connections';
import { MemberDeadLetters } from '../member/dead';
import { MemberHandle } from '../member/handle';
import { listLives, type LivesFilter, type MemberLife } from '../member/lives';
import type { Post } from '../member/post';
import {
  NotTrackedError,
  TrackerGoneError,
  TrackerStoppedError,
  UnknownOperationError,
  UnknownPoolError,
  UnknownTrackerError,
} from '../errors';
import type { Page } from '../page';
import type { Setting } from '../settings';
import { readStatus, type TrackerSummary } from '../status';
import type { StartResult, UnitKind } from '../unit';
import { collectIds } from './ids';
import {
  readMember,
  readMembers,
  readPools,
  type ListOptions,
  type Member,
  type MemberDetails,
  type PoolSummary,
} from './members';
import { EVER_HAD_MEMBERS, NOTIFY, TRACKER, TRACKER_NAMES } from './queries';
import { countMembers, findAlive, findPlace, type Alive, type Place, type TrackerCount } from './questions';
import { TrackerReads, type TrackerUnitRow as Row } from './reads';
import { membersToMakeRoomFor, openChange, sendChange, type RosterOptions, type RosterResult } from './roster';
import { settingsOf } from './settings';
import { refuseOtherRoute, startRoot } from './start';
import { askAnew, openHolds, readHolds, type HoldSummary, type RefetchResult } from './told';

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

const KIND: UnitKind<TrackerOptions> = {
  noun: 'tracker',
  names: TRACKER_NAMES,
  workflowId: trackerWorkflowId,
  commands: {
    stop: stopUpdate,
    pause: pauseUpdate,
    resume: resumeUpdate,
    declare: declareUpdate,
    reconfigure: reconfigureUpdate,
  },
  Stopped: TrackerStoppedError,
  Gone: TrackerGoneError,
  Unknown: UnknownTrackerError,
};

/**
 * `stop` ends every shift; members and values stay. While it is paused nothing is fetched and no message handled, and
 * adds, removals and messages are still taken; `resume` also takes pools out of quarantine.
 */
export class TrackerHandle<T extends Receiver = Receiver> extends TrackerReads {
  constructor(
    name: string,
    connections: Connections,
    private readonly post: Post,
  ) {
    super(name, connections, KIND);
  }

  /** @throws also RefusedError where it has members, and these options another `route` than theirs */
  override async start(options?: TrackerOptions, command?: CommandOptions): Promise<StartResult> {
    await refuseOtherRoute(this.connections, this.name, await this.find(), options);
    return super.start(options, command);
  }

  /** A handle for what is sent to one of its members, which need not be there yet. */
  member(id: string): MemberHandle<T> {
    return new MemberHandle<T>(this.name, id, this.post, this.connections, () => this.shown());
  }

  /** A page of its members that have a state, by their ids. */
  async lives(filter: LivesFilter = {}): Promise<Page<MemberLife>> {
    await this.shown();
    return listLives(this.connections, this.name, filter);
  }

  /** Messages on which the handler of a member has failed too often. */
  get dead(): MemberDeadLetters {
    return new MemberDeadLetters(this.name, this.connections, this.post, () => this.options());
  }

  /** The compiled options that hold now. */
  async options(): Promise<TrackerOptions> {
    const row = await this.shown();
    return withChanges(row.options, row.changes);
  }

  /** Tracks ids. Resolves when Temporal has them durably, or, with `wait`, when they are in the database. */
  add(ids: Iterable<string> | AsyncIterable<string>, options?: RosterOptions): Promise<RosterResult> {
    return this.changeRoster('add', ids, options);
  }

  /** Stops tracking ids and forgets their values. */
  remove(ids: Iterable<string> | AsyncIterable<string>, options?: RosterOptions): Promise<RosterResult> {
    return this.changeRoster('remove', ids, options);
  }

  /** Members in the order of their ids, read a page at a time. */
  async *list(options: ListOptions = {}): AsyncGenerator<Member> {
    const { pools } = await this.shown();
    this.requirePool(options.pool, pools);
    yield* readMembers(this.connections, this.name, pools, options, 'read');
  }

  /** Whether anything was ever tracked, as far as it is remembered (`tombstones`). */
  async everHadMembers(): Promise<boolean> {
    return (await this.connections.rows<{ had: boolean }>(EVER_HAD_MEMBERS, [this.name]))[0]!.had;
  }

  /** Its pools by their numbers: members, keeper, crashes. */
  async pools(): Promise<PoolSummary[]> {
    const pools = await readPools(this.connections, this.name);
    if (pools.length === 0) throw await this.unknown();
    return pools;
  }

  /** One member and all that is known of it. @throws NotTrackedError */
  async show(id: string): Promise<MemberDetails> {
    const found = await readMember(this.connections, this.name, id);
    if (!(found instanceof NotTrackedError)) return found;
    await this.require();
    throw found;
  }

  /** How many ids it has, and how many of them live nodes keep right now; from the pools' counts, at any size. */
  async count(): Promise<TrackerCount> {
    const [found] = await countMembers(this.connections, this.name);
    if (!found) throw await this.unknown();
    return found;
  }

  /** The pool and the node that keep an id at this moment. One statement. @throws NotTrackedError */
  async where(id: string): Promise<Place> {
    return this.found(id, await findPlace(this.connections, this.name, id));
  }

  /** Whether a live node keeps an id, and how old its last sign is. One statement. @throws NotTrackedError */
  async alive(id: string): Promise<Alive> {
    return this.found(id, await findAlive(this.connections, this.name, id));
  }

  private async found<T>(id: string, answer: T | 'no tracker' | 'not tracked'): Promise<T> {
    if (answer === 'no tracker') throw await this.unknown();
    if (answer === 'not tracked') throw new NotTrackedError(this.name, id);
    return answer;
  }

  /** Holds that upstreams have asked for, the longest first. */
  async holds(): Promise<HoldSummary[]> {
    await this.shown();
    return readHolds(this.connections, this.name);
  }

  /**
   * Lifts the holds of an operation, or all of the tracker's, also those of single members; every node asks the
   * upstream again within a second, and obeys it when it is refused again. @returns the holds that were in force.
   */
  async openHolds(operation?: string, { why }: CommandOptions = {}): Promise<HoldSummary[]> {
    await this.requireOperation(operation);
    const command = { ...this.listed('hold open'), before: { operation: operation ?? null }, why };
    return recorded(this.connections, command, async (db) => {
      const opened = await openHolds(db, this.name, operation);
      await this.announce(db);
      const before = opened.map((hold) => ({ operation: hold.operation, heldUntil: hold.heldUntil }));
      return { result: opened, before: { operation: operation ?? null, holds: before } };
    });
  }

  /**
   * Forgets ETags and expiries, so that these members (without ids: all) are asked anew, within a second; values stay
   * until there are others. For code that makes something else of the same answer, or an upstream that keeps to an old
   * one.
   */
  async refetch(
    ids?: readonly string[],
    { operation, why }: { operation?: string } & CommandOptions = {},
  ): Promise<RefetchResult> {
    await this.requireOperation(operation);
    return recorded(this.connections, { ...this.listed('refetch'), why }, async (db) => {
      const result = await askAnew(db, this.name, operation, ids);
      await this.announce(db);
      return { result, after: { operation: operation ?? null, members: result.members, all: ids === undefined } };
    });
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
    options: RosterOptions & { apply?: boolean } & CommandOptions = {},
  ): Promise<ReconcileResult> {
    const { ids, duplicates } = await collectIds(given, options.position);
    const missing = new Set(ids);
    const surplus: string[] = [];
    const { pools } = await this.require();
    const members = readMembers(this.connections, this.name, pools, {}, 'rows');
    for await (const { id } of members) if (!missing.delete(id)) surplus.push(id);
    const result = { missing: [...missing], surplus, matching: ids.length - missing.size, duplicates };
    if (options.apply) await this.makeAlike(result, options);
    return { ...result, applied: options.apply === true };
  }

  /**
   * Its pool goes to that node; resolves when the node has taken it. @throws UnknownPoolError; UnknownNodeError;
   * RefusedError where that node would not keep it; TimedOutError, with what became of it
   */
  async move(pool: number, { to, why }: { to: string } & CommandOptions): Promise<MoveResult> {
    const { pools, options } = await this.require();
    this.requirePool(pool, pools);
    const moved = { tracker: this.name, pool, pools, receives: options.receive !== undefined };
    return movePool(this.connections, moved, to, why);
  }

  private makeAlike(
    { missing, surplus, matching }: { missing: string[]; surplus: string[]; matching: number },
    options: RosterOptions & CommandOptions,
  ): Promise<void> {
    const before = { members: matching + surplus.length };
    const after = { added: missing.length, removed: surplus.length };
    const command = { ...this.listed('reconcile'), before, after, why: options.why };
    return announced(this.connections, command, async () => {
      // The places in the list have been checked; what is sent now has others.
      const sending = { ...options, position: undefined };
      if (missing.length > 0) await this.add(missing, sending);
      if (surplus.length > 0) await this.remove(surplus, sending);
      return { result: undefined, changed: missing.length + surplus.length > 0 };
    });
  }

  /** For practice: the shift of this pool fails as if by a bug, and is started again with all of its members. */
  async crash(pool: number, { why }: CommandOptions = {}): Promise<void> {
    const row = await this.require();
    this.requirePool(pool, row.pools);
    const notice: ChangeNotice = { tracker: this.name, pools: [pool], crash: true };
    await recorded(this.connections, { ...this.listed('crash'), after: { pool }, why }, async (db) => {
      await run(db, NOTIFY, [NOTIFY_CHANNEL, JSON.stringify(notice)]);
      return { result: undefined };
    });
  }

  private async requireOperation(operation: string | undefined): Promise<void> {
    const { options } = await this.require();
    if (operation !== undefined && !Object.hasOwn(options.operations, operation))
      throw new UnknownOperationError(this.name, operation, Object.keys(options.operations));
  }

  /** So that nodes look at once; who does not hear it looks within a second. */
  private async announce(db: Queryable): Promise<void> {
    const notice: ChangeNotice = { tracker: this.name };
    await run(db, NOTIFY, [NOTIFY_CHANNEL, JSON.stringify(notice)]);
  }

  /** @throws InvalidIdError before anything is sent; TrackerStoppedError; TemporalUnavailableError. */
  private async changeRoster(
    change: 'add' | 'remove',
    given: Iterable<string> | AsyncIterable<string>,
    options: RosterOptions = {},
  ): Promise<RosterResult> {
    const collected = await collectIds(given, options.position);
    const opened = await openChange(this.connections, this.name);
    if (!opened) throw await this.unknown();
    if (opened.state === 'stopped') throw new TrackerStoppedError(this.name);
    const members =
      change === 'add'
        ? await membersToMakeRoomFor(this.connections, this.name, opened, collected.ids.length)
        : undefined;
    if (members !== undefined) {
      opened.pools = (await this.update(ensureCapacityUpdate, [{ members }], { long: true })).pools;
    }
    return sendChange(this.connections, this.name, change, collected, opened, options);
  }

  protected async find(): Promise<Row | undefined> {
    return (await this.connections.rows<Row>(TRACKER, [this.name]))[0];
  }

  protected startRoot(client: Client, options: TrackerOptions | undefined): Promise<unknown> {
    return startRoot(client, this.name, options);
  }

  protected settingsOf(row: Row): Setting[] {
    return settingsOf(row.options, row.changes);
  }

  protected changeOf(row: Row, path: string, value: string | number | boolean | null): OptionChange {
    return optionChange(path, value, Object.keys(row.options.operations));
  }

  /** The row for what is only shown; it may come from a replica. */
  protected override async shown(): Promise<Row> {
    const row = (await this.connections.read<Row>(TRACKER, [this.name]))[0];
    return row ?? this.require();
  }

  private requirePool(pool: number | undefined, pools: number): void {
    if (pool === undefined) return;
    if (!Number.isInteger(pool) || pool < 0 || pool >= pools) throw new UnknownPoolError(this.name, pool, pools);
  }
}
