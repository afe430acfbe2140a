/** The library's entry object: from a connection to its trackers. Made by `connect`; its handles do the work. */
import type { DataConverter } from '@temporalio/common';
import type { Logger } from 'pino';
import { converterProblems } from '../config/data-converter';
import { ConfigError, EnvironmentError } from '../config/errors';
import {
  resolveEnvironment,
  type Environment,
  type EnvironmentFlags,
  type ShownEnvironment,
} from '../config/environment';
import type { AnyBuffer, BufferDefinition } from '../config/define/buffer';
import type { TrackerDefinition } from '../config/define/tracker';
import type { Receiver } from '../config/define/member';
import { UpstreamHandle, upstreamNames } from './upstreams';
import { actorOf } from '../activities/lib/audit';
import { pageOfAudit, readAudit, type AuditOptions, type AuditPageOptions, type AuditRow } from './audit';
import { BudgetHandle } from './budget';
import { BufferHandle } from './buffer/handle';
import { readNow } from './clock';
import { NodeHandle } from './cluster/node';
import { readNodes, type ClusterReport } from './cluster/nodes';
import {
  previewRebalance,
  rebalance,
  type RebalanceOptions,
  type RebalancePreview,
  type RebalanceResult,
} from './cluster/rebalance';
import { Connections } from './connections';
import { DurableHandle } from './durable/handle';
import { Post } from './member/post';
import type { Page } from './page';
import { iso } from './iso';
import { JobHandle } from './job/handle';
import { JOB_NAMES } from './job/queries';
import { TRACKER_NAMES } from './tracker/queries';
import { diagnose, type Diagnosis } from './doctor/doctor';
import { gatherFacts } from './doctor/facts';
import { once, type Answered, type Ended, type OnceOptions } from './once';
import { readMarks, type Mark } from './marks';
import { Recent } from './recent';
import {
  pageOfSeries,
  readAllSeries,
  readSeries,
  type Series,
  type SeriesKind,
  type SeriesOptions,
  type SeriesPageOptions,
} from './series';
import { readReplica, readStatus, type ReplicaSummary, type Status } from './status';
import { readHolds, type HoldSummary } from './tracker/told';
import type { KnownDefinition } from './tracker/decode';
import { TrackerHandle } from './tracker/handle';
import { countMembers, type TrackerCount } from './tracker/questions';
import type { Json } from '../workflows/lib/json';
import { BUFFER_NAMES } from './buffer/queries';

/** Handles of buffers that are kept. */
const BUFFERS = 1_000;

export interface ConnectOptions extends EnvironmentFlags {
  /** Found already; wins over the flags. */
  environment?: Environment;
  /** Gets its own (few) lines. @default nowhere */
  log?: Logger;
  /** How payloads are written to Temporal: that of the workers' config. */
  dataConverter?: DataConverter;
  /** Definitions of trackers, as `tracker` takes them: for the API and whoever names its trackers only. */
  trackers?: readonly TrackerDefinition[];
  /** Definitions of buffers, as `buffer` takes them: for the same. */
  buffers?: readonly AnyBuffer[];
  /** Connections to PostgreSQL, and as many to a replica. @default 3 */
  connections?: number;
  /**
   * The person or program that commands, for `longwatch audit`. @default LONGWATCH_ACTOR, else the user of this process
   * at this machine
   */
  actor?: string;
  /** The way by which its commands come, for the same. @default client */
  via?: 'cli' | 'client' | 'http';
}

export class Longwatch {
  private readonly buffers = new Recent<BufferHandle<never>>(BUFFERS);
  private readonly post: Post;

  /** The servers that it is connected to, without passwords and keys. */
  readonly environment: ShownEnvironment;

  /** Made by `connect`. */
  constructor(
    private readonly connections: Connections,
    /** The one of the `Longwatch` whose connections these are, where they are shared. */
    private readonly sharedPost?: Post,
  ) {
    this.environment = connections.shown;
    this.post = sharedPost ?? new Post(connections);
  }

  /**
   * The same connections for somebody else, whose name the commands are listed under. For a program that serves several
   * people; the connections end with the one that was made by `connect`.
   */
  as({ actor, via }: { actor: string; via?: ConnectOptions['via'] }): Longwatch {
    return new Longwatch(this.connections.as(actorOf(actor, via)), this.post);
  }

  /**
   * A handle; whether there is such a tracker shows at its first use. With its definition, or the type of it
   * (`tracker<typeof rooms>('rooms')`), messages to its members and their replies are typed. A program that sends where
   * the definition has a `route`, or shows values that a codec of it has encoded, gives the definition itself.
   */
  tracker<T extends Receiver = Receiver>(given: string | (T & KnownDefinition & { name: string })): TrackerHandle<T> {
    if (typeof given !== 'string') this.connections.definitions.set(given.name, given);
    return new TrackerHandle<T>(typeof given === 'string' ? given : given.name, this.connections, this.post);
  }

  /** A regen, sweep or decay; whether there is one of that name shows at its first use. */
  job(name: string): JobHandle {
    return new JobHandle(name, this.connections);
  }

  /**
   * The kind of the thing that has this name. `tracker` if nothing has it: that handle refuses it, and says what there
   * is.
   */
  async kindOf(name: string): Promise<'tracker' | 'buffer' | 'job'> {
    if ((await this.trackers()).includes(name)) return 'tracker';
    if ((await this.bufferNames()).includes(name)) return 'buffer';
    return (await this.jobs()).includes(name) ? 'job' : 'tracker';
  }

  /** The handle of a thing of that kind: what all three have can be asked of it. */
  unit(kind: 'tracker' | 'buffer' | 'job', name: string): TrackerHandle | BufferHandle | JobHandle {
    if (kind === 'tracker') return this.tracker(name);
    return kind === 'buffer' ? this.buffer(name) : this.job(name);
  }

  /** Names of all jobs that were ever started. */
  async jobs(): Promise<string[]> {
    return (await this.connections.read<{ name: string }>(JOB_NAMES)).map((row) => row.name);
  }

  /**
   * A handle, the same one for the same name, so that all of a program's pushes share their messages. With the
   * definition, entries are typed, and a `key` that is a function is known.
   */
  buffer(name: string): BufferHandle;
  buffer<E, S>(definition: BufferDefinition<E, S>): BufferHandle<E>;
  buffer(given: string | BufferDefinition): BufferHandle {
    const name = typeof given === 'string' ? given : given.name;
    const definition = typeof given === 'string' ? this.connections.buffers.get(name) : given;
    const id = definition ? `definition of ${name}` : name;
    return this.buffers.get(id, () => new BufferHandle<Json>(name, this.connections, definition));
  }

  /** Leases, keys and broken compensations of durable activities. */
  get durable(): DurableHandle {
    return new DurableHandle(this.connections);
  }

  /** Names of all trackers that were ever started. */
  async trackers(): Promise<string[]> {
    return (await this.connections.read<{ name: string }>(TRACKER_NAMES)).map((row) => row.name);
  }

  /** Names of all buffers that were ever started. */
  async bufferNames(): Promise<string[]> {
    return (await this.connections.read<{ name: string }>(BUFFER_NAMES)).map((row) => row.name);
  }

  /** Every tracker, job, buffer and node; from PostgreSQL alone. */
  status(): Promise<Status> {
    return readStatus(this.connections);
  }

  /**
   * How far the replica is behind from which lists, pools, members and `status` come (READ_DATABASE_URL). Undefined:
   * there is none, and all of it is as it is now.
   */
  replica(): Promise<ReplicaSummary | undefined> {
    return readReplica(this.connections);
  }

  /**
   * The time of the database, ISO 8601: an age is reckoned by it and not by the clock of who asks.
   *
   * @param options.written that of the one that is written to, where lists come from a replica
   */
  async now({ written = false }: { written?: boolean } = {}): Promise<string> {
    return iso(await readNow(this.connections, written));
  }

  /** All that is wrong, what to do, and what could not be looked at. Never fails: what cannot be read is not known. */
  async doctor(): Promise<Diagnosis> {
    return diagnose(await gatherFacts(this.connections, () => this.durable.brokenCompensations()));
  }

  /** How many ids each tracker has, and how many of them live nodes keep right now. */
  count(): Promise<TrackerCount[]> {
    return countMembers(this.connections);
  }

  /** Every node: what is wanted of it, what it keeps, how it does, and a verdict in words. */
  nodes(): Promise<ClusterReport> {
    return readNodes(this.connections);
  }

  /** The pools that balancing would move, and what each node would have; nothing is moved. */
  previewRebalance(): Promise<RebalancePreview> {
    return previewRebalance(this.connections);
  }

  /** Moves pools until every node has its share. Nodes do so by themselves: at rest there is nothing to move. */
  rebalance(options?: RebalanceOptions): Promise<RebalanceResult> {
    return rebalance(this.connections, options);
  }

  /** A handle; whether there is such a node shows at its first use. */
  node(name: string): NodeHandle {
    return new NodeHandle(name, this.connections);
  }

  /** Names of all upstreams with limits. */
  upstreams(): Promise<string[]> {
    return upstreamNames(this.connections);
  }

  /** The options of an upstream's limits; whether there is such a one shows at its first use. */
  upstream(name: string): UpstreamHandle {
    return new UpstreamHandle(name, this.connections);
  }

  /** The commands of operators, the newest first: one row each. Ids and entries are data, and are not listed. */
  audit(options?: AuditOptions): Promise<AuditRow[]> {
    return readAudit(this.connections, options);
  }

  /** The same in parts. @throws InvalidCursorError */
  auditPage(options: AuditPageOptions = {}): Promise<Page<AuditRow>> {
    return pageOfAudit(this.connections, options);
  }

  /** The limits of upstreams: what is left, who spends, what is closed. */
  get budget(): BudgetHandle {
    return new BudgetHandle(this.connections);
  }

  /**
   * The history of one thing, by the minute for a day and by the hour for a month: an operation
   * (`characters/location`), a buffer, a job, a bucket (`esi/errors`, `esi/errors:KEY`) or a node.
   * @throws InvalidRangeError
   */
  series(kind: SeriesKind, name: string, options?: SeriesOptions): Promise<Series> {
    return readSeries(this.connections, kind, name, options);
  }

  /** The same of all things of a kind, or of some. @throws InvalidRangeError */
  allSeries(kind: SeriesKind, options?: SeriesOptions & { names?: readonly string[] }): Promise<Series[]> {
    return readAllSeries(this.connections, kind, options);
  }

  /**
   * The same in parts, in the order of their names: each page has 500 things and 50,000 points at most.
   * @throws InvalidRangeError, InvalidCursorError
   */
  seriesPage(kind: SeriesKind, options?: SeriesPageOptions): Promise<Page<Series>> {
    return pageOfSeries(this.connections, kind, options);
  }

  /** Marks for charts: what operators did, and when nodes' processes began. @throws InvalidRangeError */
  marks(options?: Omit<SeriesOptions, 'step'>): Promise<Mark[]> {
    return readMarks(this.connections, options);
  }

  /** Holds that upstreams have asked for, of all trackers, the longest first. */
  holds(): Promise<HoldSummary[]> {
    return readHolds(this.connections);
  }

  /** Whether a worker has asked Temporal for work in the last minute. */
  workersPoll(): Promise<boolean> {
    return this.connections.workersPoll();
  }

  /**
   * Does something once, however often it is asked for with the same key; the answer is kept for a day. For servers
   * that take an `Idempotency-Key`.
   * @throws RequestDiffersError; RequestGoesOnError; RequestUnansweredError
   */
  once(options: OnceOptions, work: () => Promise<Ended>): Promise<Answered & { replayed: boolean }> {
    return once(this.connections, options, work);
  }

  /**
   * Call it when done: open connections keep the process alive. Messages that were sent are stored first, and requests
   * have their outcome, each within its time-out.
   */
  async close(): Promise<void> {
    if (!this.sharedPost) await this.post.close();
    await this.connections.close();
  }
}

/** Finds the servers; each is connected to when first needed. @throws EnvironmentError */
export async function connect(options: ConnectOptions = {}): Promise<Longwatch> {
  return openLongwatch(options);
}

/** As `connect`, for who cannot wait. */
export function openLongwatch(options: ConnectOptions = {}): Longwatch {
  const problems = converterProblems(options.dataConverter);
  if (problems.length > 0) throw new ConfigError(problems);
  if (options.environment?.shown !== undefined) {
    throw new EnvironmentError(
      'that environment is the one of a connection, which leaves out its passwords: give the addresses themselves',
      {
        usage: true,
      },
    );
  }
  const { environment = resolveEnvironment(options), log, dataConverter, actor, via, connections } = options;
  const made = new Connections(environment, actorOf(actor, via), log, dataConverter, connections);
  for (const definition of options.trackers ?? []) made.definitions.set(definition.name, definition);
  for (const definition of options.buffers ?? []) made.buffers.set(definition.name, definition);
  return new Longwatch(made);
}
