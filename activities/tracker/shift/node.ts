/**
 * One worker process as the place where shifts are kept: their tick, their flush, what they share (places, holds, the
 * trackers' rows) and what the process tells of itself. Made by `activities/tracker/index.ts`, one a worker; `keep.ts`
 * puts shifts in and takes them out.
 */
import type { Logger } from 'pino';
import type { ErrorContext, TrackerDefinition } from '../../../config/define/tracker';
import type { ChangeNotice } from '../../../workflows/tracker/contract';
import { service, Services, type Service } from '../../lib/service';
import type { NodeRow } from '../store/nodes';
import type { StatsRow } from '../store/node-stats';
import type { TrackerRow } from '../store/trackers';
import { checkUp, lookAtRounds } from './checkup';
import { Clock } from './clock';
import { FailingPools } from './failing-pools';
import { ValueFeed } from './feed';
import { NodeHolds } from './holds';
import { Lateness } from './lateness';
import { NodeGates } from './node-gates';
import { knownStates } from '../member/loading';
import type { PlacingEvent } from './figures';
import type { Opens } from './openings';
import type { Placing } from './placing';
import { Presence } from './presence';
import { Listener } from '../../lib/listener';
import type { Operation, OperationHost } from './host';
import type { PoolShift } from './pool-shift';
import { Ring } from './ring';
import { Semaphore } from './semaphore';
import { tellersOf } from './tellers';
import { Statistics } from './statistics';
import { Told } from './told';
import { NodeTotals } from './totals';
import { Writer } from './writer';
import type { NodeOptions } from './node-options';
import { Lane } from '../turns/lane';
import type { NodeTurns } from '../turns/node-turns';
import { turnsOf } from '../turns/of-node';
import type { Spender } from '../../upstream/budget/spender';
import { concernsNodes, hintShifts, noticeOf } from './notice';
import { callHook } from '../../lib/hook';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';

/** How often the ring looks who is due; half of it is the lateness that an idle node adds. */
const TICK_MS = 5;
/** While there are no shifts: only for the watchdog, since a timer of 5 ms alone takes 2 % of a core. */
const IDLE_TICK_MS = 100;
/** Gates are looked at this often, and rounds that have ended. */
const LOOK_MS = 50;
/** Backlog, memory and members of each pool are looked at this often. */
const CHECKUP_MS = 30_000;
/** Pools at once. */
const LOADING = 2;
const TAKING = 2;
/** Pools that have been taken and not been loaded. */
const ARRIVING = 8;

export class Node implements OperationHost, Service {
  readonly row: NodeRow;
  readonly log: Logger;
  readonly clock = new Clock();
  readonly holds = new NodeHolds();
  readonly ring: Ring;
  readonly shifts = new Set<PoolShift>();
  readonly trackers = new Map<string, TrackerRow>();
  readonly writer: Writer;
  /** Says whose turn it is on the connection for values and turns. */
  readonly lane = new Lane();
  /** The turns of members that receive, where the config has any. */
  readonly turns: NodeTurns | undefined;
  /**
   * Pools that come over are loaded by a few at a time: they must not take up the connections, nor the thread, of those
   * that are kept.
   */
  readonly loading = new Semaphore(LOADING);
  /** So are those that are taken: each may wait a moment for a lock that somebody holds. */
  readonly taking = new Semaphore(TAKING);
  /**
   * From the fence to the members in memory nobody keeps a pool: where thousands come at once, they wait before they
   * are taken, with the keeper that they may have.
   */
  readonly arriving = new Semaphore(ARRIVING);
  readonly failing = new FailingPools(this.clock);
  readonly feed: ValueFeed | undefined;
  readonly totals = new NodeTotals();
  readonly definitions: ReadonlyMap<string, TrackerDefinition>;
  private readonly latenesses = new Map<string, Lateness>();
  private readonly gates: NodeGates;
  private readonly listener: Listener;
  private readonly told: Told;
  private readonly services: Services;
  private ticker: NodeJS.Timeout | undefined;
  /** Loops whose round has ended since the last look. */
  private readonly ended = new Set<Operation>();
  private lookedAt = 0;
  private checkedUpAt = 0;
  private readonly presence: Presence;

  constructor(private readonly options: NodeOptions) {
    this.row = options.row;
    this.log = options.log;
    this.ring = new Ring(this.clock, { places: options.nodeConcurrency, threads: options.isolation.threads });
    this.definitions = new Map(options.trackers.map((definition) => [definition.name, definition]));
    this.feed =
      options.buffers &&
      new ValueFeed(this.definitions, options.buffers, this.clock, (error, buffer, operation, id) => {
        operation.log.warn(
          { err: error, id, buffer },
          "a buffer's key could not be found; the entry goes on without one",
        );
        options.metrics.feedFailed(buffer);
        this.onError(error, operation, id);
      });
    const values = options.values ?? options.database;
    this.writer = new Writer(
      { transaction: (...one) => this.lane.run('values', () => values.transaction(...one)) },
      this,
    );
    this.turns = turnsOf(options, this);
    this.gates = new NodeGates(options.database, this);
    const states = knownStates(this.turns?.versions ?? []);
    this.presence = new Presence({ ...options.presence, database: options.database, states }, this);
    this.told = new Told(options.database, this);
    this.listener = new Listener(options.database, {
      channel: NOTIFY_CHANNEL,
      heard: (payload) => this.hear(noticeOf(payload)),
      log: options.log,
    });
    options.metrics.observe(this);
    this.services = new Services([
      options.isolation,
      // Before there is anything that has a time: it reads the database's clock.
      this.presence,
      this.listener,
      this.told,
      new Statistics(options.database, options.log),
      ...tellersOf(options.database, this, options.spender !== undefined),
      this.writer,
      ...(this.turns ? [this.turns] : []),
      service({ stop: () => this.writer.flush().catch(() => undefined) }),
      service({ start: () => this.beginTicks(), stop: () => this.endTicks() }),
      // It looks for the ticks, so they have begun.
      ...(options.watchdog ? [options.watchdog] : []),
    ]);
  }

  start(): Promise<void> {
    return this.services.start();
  }

  /** Writes what there is, and says that the node has ended. */
  stop(): Promise<void> {
    return this.services.stop();
  }

  /**
   * Says whether the process takes tasks (it does, unless this says that it does not): without, the node is there and
   * not up, and nobody gives it a pool.
   */
  take(taking: boolean): void {
    this.presence.take(taking);
  }

  /**
   * Takes no more shifts, and gives those that it has to other nodes, a few at a time; those that no other may keep end
   * at once. The worker waits for that until its deadline.
   */
  drain(): void {
    this.presence.drain();
  }

  get spender(): Spender | undefined {
    return this.options.spender;
  }

  get turnsWait(): boolean {
    return this.lane.turnsWait;
  }

  get isDraining(): boolean {
    return this.presence.isEnding;
  }

  /** The pools that it takes and gives. */
  get placing(): Placing {
    return this.presence.placing;
  }

  /** It hears from PostgreSQL, and does not end: what comes to it now may be kept. */
  get isAble(): boolean {
    return this.presence.isAble;
  }

  /** Whether to ask for shifts now, of the shared queues and of its own. For the worker's slot supplier. */
  get opens(): Opens {
    return this.presence.openings.current;
  }

  /** @param changed called when an answer of `opens` has become another one. @returns ends that */
  onOpens(changed: () => void): () => void {
    return this.presence.openings.listen(changed);
  }

  join(shift: PoolShift, definition: TrackerDefinition): void {
    this.shifts.add(shift);
    this.failing.begun(shift.claim);
    this.placing.joined(shift);
    if (this.ticker && this.shifts.size === 1) this.startTicker();
    this.gates.joined(shift, definition);
  }

  leave(shift: PoolShift): void {
    this.shifts.delete(shift);
    this.gates.left(shift);
    this.totals.retire(shift);
    if (this.ticker && this.shifts.size === 0) this.startTicker();
  }

  latenessOf(tracker: string, operation: string): Lateness {
    const key = `${tracker}/${operation}`;
    let lateness = this.latenesses.get(key);
    if (!lateness) this.latenesses.set(key, (lateness = new Lateness(this.clock.now())));
    return lateness;
  }

  // ── OperationHost ──

  isolated(...[context, part, begun]: Parameters<OperationHost['isolated']>): Promise<unknown> {
    return this.options.isolation.run(context, part, begun);
  }

  roundEnded(operation: Operation): void {
    this.ended.add(operation);
  }

  entering(operation: Operation): void {
    this.options.watchdog?.entering(operation.tracker, operation.name);
  }

  onError(error: Error, operation: Operation, id: string): void {
    const { tracker, pool, name } = operation;
    const definition = this.definitions.get(tracker);
    operation.log.debug({ err: error, id }, 'a run failed');
    if (definition) this.report(error, { tracker, pool, operation: name, id, node: this.row.name }, definition);
  }

  /** Hands an error to the definition's hook. The hook's own failure is only logged. */
  report(error: Error, context: ErrorContext, definition: TrackerDefinition): void {
    callHook(
      () => definition.onError?.(error, context),
      (failed) => this.log.error({ err: failed, ...context }, 'the onError hook failed'),
    );
  }

  // ── WriterHost and AttendanceHost ──

  stats(): StatsRow[] {
    return this.totals.rows(
      this.shifts,
      this.holds,
      (tracker, operation) => this.latenessOf(tracker, operation),
      this.clock.now(),
    );
  }

  placed(what: PlacingEvent, tracker: string): void {
    this.options.metrics.placed(what, tracker);
  }

  flushed(outcome: { rows: number; ms: number } | { error: Error }): void {
    this.options.metrics.flushed(outcome);
  }

  fenced(shift: PoolShift): void {
    shift.log.warn('fenced: a newer holder has the pool; nothing of this shift is written any more');
    this.presence.placed('fenced', shift.trackerName);
    shift.end('fenced');
  }

  // ── The tick ──

  private beginTicks(): Promise<void> {
    this.checkedUpAt = this.clock.now();
    this.startTicker();
    return Promise.resolve();
  }

  private endTicks(): Promise<void> {
    clearInterval(this.ticker);
    this.ticker = undefined;
    this.ring.close();
    return Promise.resolve();
  }

  /** At the pace of now; in place of one that runs. */
  private startTicker(): void {
    clearInterval(this.ticker);
    const periodMs = this.shifts.size > 0 ? TICK_MS : IDLE_TICK_MS;
    this.presence.figures.beat.restarted();
    this.ticker = setInterval(() => this.tick(periodMs), periodMs);
  }

  private tick(periodMs: number): void {
    const now = this.clock.now();
    this.presence.figures.beat.ticked(periodMs);
    this.options.watchdog?.alive();
    this.ring.tick(now);
    if (now - this.lookedAt >= LOOK_MS || now < this.lookedAt) {
      this.lookedAt = now;
      this.gates.tick(now);
      lookAtRounds(this.ended, this.options.metrics);
      this.ended.clear();
      this.told.tick(now);
      this.placing.tick(now);
    }
    if (now - this.checkedUpAt >= CHECKUP_MS) {
      this.checkedUpAt = now;
      for (const shift of this.shifts) checkUp(shift);
    }
  }

  private hear(notice: ChangeNotice | undefined): void {
    if (concernsNodes(notice)) this.presence.hint();
    // A change that concerns none of its shifts is not a reason to flush: under a bulk of changes all nodes would do so
    // all the time.
    if (!hintShifts(this.shifts, notice)) return;
    this.writer.hint();
    this.told.hint();
  }
}
