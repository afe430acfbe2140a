/**
 * The turns of a node: of all pools that it keeps whose members receive. It hears of mail (`inbox.ts`), reads it
 * (`reader.ts`), runs handlers (`turner.ts`), commits what they came to (`committer.ts`) and tells whoever waits
 * (`aftermath.ts`). Made by `shift/node.ts` where the config has such a tracker: a node without one has none of this.
 * `shift/keep.ts` puts pools in and takes them out.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { errorOf } from '../../lib/failures';
import { Background } from '../../lib/service';
import type { Database } from '../../lib/database';
import type { Slots } from '../../../workflows/tracker/slots';
import { MEMBER, type MemberLimits } from '../member/constants';
import type { EndedTurn } from '../member/ended';
import type { StateVersions } from '../member/loading';
import type { Struck } from '../member/strikes';
import type { PoolSettled } from '../member/writer';
import type { Clock } from '../shift/clock';
import type { PoolShift } from '../shift/pool-shift';
import { MailNotifier } from '../store/mail-notifier';
import { sleep } from '../../lib/sleep';
import { Aftermath } from './aftermath';
import { AloneTurns } from './alone';
import { lifeCodeOf, type LifeCode } from './code';
import { Committer, type CommitHost, type Pushes } from './committer';
import type { Pushable } from './context';
import { Housekeeping } from './housekeeping';
import { Inbox, type InboxHost } from './inbox';
import type { Lane } from './lane';
import { Places } from './places';
import { PoolTurns } from './pool';
import { MailReader } from './reader';
import { ShiftOver } from './over';
import { Strikes } from './strikes';
import { Turner } from './turner';
import { Unloads } from './unloads';

const LOOK_MS = 1_000;
/** The tables are looked after each so many looks. */
const HOUSEKEEPING_LOOKS = 10;
/** Turns that run when a shift ends may take so long, and then their commit. Milliseconds. */
const LAST_TURNS_MS = 1_000;
const LAST_COMMIT_MS = 2_000;

/** Counters are told of these. */
export interface TurnEvents {
  ended(tracker: string, turn: EndedTurn): void;
  redirected(tracker: string): void;
  loaded(tracker: string, members: number): void;
  committed(turns: number, ms: number): void;
}

export interface NodeTurnsSetup {
  readonly node: string;
  readonly clock: Pick<Clock, 'now' | 'toStore'>;
  readonly log: Logger;
  /** Readings, and what is told. */
  readonly database: Database;
  /** The node's one connection for writing, and whose turn it is. */
  readonly values: Database;
  readonly lane: Lane;
  readonly definitions: Iterable<TrackerDefinition>;
  readonly nodeConcurrency: number;
  readonly buffers?: (Pushable & Pushes) | undefined;
  /** The same for a turn that has a transaction of its own. */
  readonly newPushes?: () => Pushes | undefined;
  /** For turns that have transactions of their own. @default database, for tests */
  readonly handlers?: Database | undefined;
  readonly events: TurnEvents;
  entering(code: { readonly tracker: string; readonly name: string }): void;
  /** A handler has failed. */
  onError(error: Error, pool: PoolTurns, id: string): void;
  /** Another node has the pool. */
  fenced(shift: PoolShift): void;
  /** A roster has changed: the next flush reads it, at once. */
  hintValues(): void;
  readonly limits?: MemberLimits;
}

export class NodeTurns extends Background implements CommitHost, InboxHost {
  readonly pools = new Set<PoolTurns>();
  readonly notifier: MailNotifier;
  readonly database: Database;
  readonly node: string;
  readonly clock: Pick<Clock, 'now' | 'toStore'>;
  readonly log: Logger;
  readonly buffers: (Pushable & Pushes) | undefined;
  readonly pushes: Pushes | undefined;
  readonly placingOf: Places['of'];
  readonly unloads = new Unloads();
  private readonly places: Places;
  private readonly codes = new Map<string, LifeCode>();
  private readonly shifts = new Map<PoolTurns, PoolShift>();
  private readonly limits: MemberLimits;
  private readonly inbox: Inbox;
  private readonly reader: MailReader;
  private readonly turner: Turner;
  private readonly committer: Committer;
  private readonly aftermath: Aftermath;
  private readonly housekeeping: Housekeeping;
  /** Looks until now; not all nodes begin at the same one. */
  private count = Math.floor(Math.random() * HOUSEKEEPING_LOOKS);
  private soon: NodeJS.Immediate | undefined;
  private wake: NodeJS.Timeout | undefined;
  private wakeAt = Infinity;
  private looks: NodeJS.Timeout | undefined;

  constructor(private readonly setup: NodeTurnsSetup) {
    super();
    this.node = setup.node;
    this.clock = setup.clock;
    this.log = setup.log;
    this.database = setup.database;
    this.buffers = this.pushes = setup.buffers;
    this.limits = setup.limits ?? MEMBER;
    this.notifier = new MailNotifier((...ask) => setup.database.rows(...ask), setup.log);
    this.inbox = new Inbox(setup.database, this, setup.log);
    this.reader = new MailReader(this, this.limits);
    const alone = new AloneTurns(setup.handlers ?? setup.database, this, this.limits, () => setup.newPushes?.());
    this.turner = new Turner(this, setup.nodeConcurrency, new Strikes(this, this.limits), alone);
    this.committer = new Committer(setup.values, setup.lane, this, this.limits);
    this.housekeeping = new Housekeeping(setup.database, setup.log, this.limits);
    this.aftermath = new Aftermath(setup.database, this, (pool) => this.shifts.get(pool), this.limits);
    this.places = new Places(setup.database, new Map([...setup.definitions].map((one) => [one.name, one])));
    this.placingOf = this.places.of;
    for (const definition of setup.definitions) {
      const code = lifeCodeOf(definition);
      if (code) this.codes.set(definition.name, code);
    }
  }

  /** The code of a tracker's members; undefined: they take no messages. */
  codeOf(tracker: string): LifeCode | undefined {
    return this.codes.get(tracker);
  }

  /** The definitions of states, by tracker. */
  get versions(): [tracker: string, versions: StateVersions][] {
    return [...this.codes].map(([tracker, { versions }]) => [tracker, versions]);
  }

  /** The pool is kept from now on; its mail is read at once. @param struck what may have ended its last keepers */
  keep(shift: PoolShift, slots: Slots, struck?: Struck): void {
    const { receive: options } = shift.options;
    const code = this.codes.get(shift.trackerName);
    if (!options || !code) return;
    const tracker = shift.trackerName;
    this.places.learn(tracker, shift.options.route);
    const placing = (id: string): number => this.placingOf(tracker)(id);
    const { limits } = this;
    const wrote = (of: PoolTurns, keys: readonly number[]): void => this.reader.values(of, keys);
    const gone = (of: PoolTurns, ids: readonly string[]): void => this.unloads.begin(of, ids);
    const stirred = (): void => this.go();
    const pool = new PoolTurns({
      shift,
      code,
      options,
      slots,
      placing,
      wrote,
      gone,
      stirred,
      now: () => this.now(),
      limits,
      struck,
    });
    pool.isPaused = shift.closed() === 'paused';
    shift.life = pool;
    this.pools.add(pool);
    this.shifts.set(pool, shift);
    this.committer.writer.add(pool);
    this.look(pool);
    this.reader.values(pool);
    if (Object.values(shift.options.operations).some((one) => one.while === 'awake')) this.reader.woken(pool);
  }

  /**
   * The shift ends: no turn begins, those under way end and are committed, as far as there is time; mail waits for the
   * next keeper, also that of turns which were given up.
   * @param isOurs false: another node has the pool, and nothing can be written any more
   */
  async leave(shift: PoolShift, isOurs: boolean): Promise<void> {
    const pool = [...this.pools].find((one) => one.shift === shift);
    if (!pool) return;
    pool.isClosed = true;
    if (isOurs) {
      await until(() => pool.begun === 0, LAST_TURNS_MS);
      for (const run of [...pool.running]) run.abort(new ShiftOver());
      await until(() => pool.begun === 0 && !pool.members.hasTurnsToCommit, LAST_COMMIT_MS);
    }
    this.pools.delete(pool);
    this.shifts.delete(pool);
    this.committer.writer.remove(pool);
    await this.committer.idle();
    for (const run of [...pool.running]) run.abort(new ShiftOver());
    shift.life = undefined;
    this.unloads.begin(pool, pool.members.unload());
  }

  // ── TurnsHost ──

  meet(trackers: Iterable<string>): Promise<void> {
    return this.places.meet(trackers);
  }

  now(): number {
    return this.clock.toStore(this.clock.now());
  }

  go(): void {
    this.soon ??= setImmediate(() => {
      this.soon = undefined;
      this.work();
    });
  }

  look(pool: PoolTurns): void {
    this.reader.look(pool);
  }

  lookAtAll(): void {
    void this.reader.lookAtAll();
  }

  loaded(tracker: string, members: number): void {
    this.setup.events.loaded(tracker, members);
  }

  redirected(tracker: string): void {
    this.setup.events.redirected(tracker);
  }

  entering(code: { readonly tracker: string; readonly name: string }): void {
    this.setup.entering(code);
  }

  ended(pool: PoolTurns, id: string, { error }: EndedTurn): void {
    if (error !== undefined) this.setup.onError(new Error(error), pool, id);
  }

  // ── CommitHost ──

  committed(turns: number, ms: number): void {
    this.setup.events.committed(turns, ms);
  }

  settled(settled: PoolSettled): void {
    try {
      this.settle(settled);
    } catch (thrown) {
      // Code of users has a part in it (a route). The commit is made, and what was to be told is found by a look.
      const { shift } = settled.pool as PoolTurns;
      shift.log.error({ err: thrown }, 'not all that wait for a commit of turns were told of it');
    }
  }

  // ── Its own ──

  protected async open(): Promise<void> {
    await this.inbox.start();
    await this.refreshPlaces();
    this.looks = setInterval(() => this.eachSecond(), LOOK_MS);
  }

  protected async close(): Promise<void> {
    clearInterval(this.looks);
    clearTimeout(this.wake);
    await this.inbox.stop();
    await this.committer.idle();
    await this.aftermath.idle();
    await this.notifier.idle();
  }

  private settle({ pool: kept, turns, verdict, void: voided, failed }: PoolSettled): void {
    const pool = kept as PoolTurns;
    const shift = this.shifts.get(pool);
    if (shift && voided.length > 0) this.look(pool);
    if (shift && verdict === 'fenced') {
      pool.isClosed = true;
      shift.breakOff('fenced');
      this.setup.fenced(shift);
    }
    if (shift && verdict === 'roster') {
      shift.hinted = true;
      this.setup.hintValues();
    }
    for (const { id, turn } of failed) this.ended(pool, id, turn);
    for (const turn of turns) this.setup.events.ended(pool.tracker, turn);
    this.aftermath.of(pool, turns);
  }

  private eachSecond(): void {
    this.lookAtAll();
    void this.refreshPlaces();
    if (++this.count % HOUSEKEEPING_LOOKS === 0) void this.housekeeping.look();
    const now = this.now();
    for (const pool of this.pools) this.unloads.begin(pool, pool.members.unload(now - pool.options.idleMs));
  }

  private refreshPlaces(): Promise<void> {
    return this.places.refresh().catch((thrown: unknown) => {
      this.log.debug({ err: errorOf(thrown) }, 'the routes of trackers were not read in a second');
    });
  }

  /** All that can be done now. */
  private work(): void {
    this.reader.load();
    const more = this.turner.begin();
    let wakesAt = Infinity;
    for (const pool of this.pools) {
      if (!pool.isPaused) wakesAt = Math.min(wakesAt, pool.members.wakesAt);
      if (pool.members.wantsReading && !pool.reading) this.look(pool);
    }
    this.committer.go();
    if (more) this.go();
    this.setAlarm(Math.min(wakesAt, this.committer.dueAt));
  }

  private setAlarm(at: number): void {
    const { wakeAt } = this;
    if (at === Infinity || (at >= wakeAt && this.wake)) return;
    clearTimeout(this.wake);
    this.wakeAt = at;
    this.wake = setTimeout(
      () => {
        this.wake = undefined;
        this.wakeAt = Infinity;
        this.go();
      },
      Math.min(Math.max(1, at - this.now()), LOOK_MS),
    );
  }
}

async function until(done: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!done() && performance.now() < end) await sleep(2);
}
