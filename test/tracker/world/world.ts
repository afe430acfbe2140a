/**
 * A simulated world of a node: two of them, the shifts of some pools, their store, roster, options and clock, and
 * whatever may happen to them, all at once. One history is made by its seed. The promises are looked at in each commit
 * and at each tick; at the end, in calm, everybody has the value that the upstream has. `node-world.test.ts` lives
 * through thousands. The code of shifts, ring, agenda, results, writer, flush, feed, fence is the real one (`node.ts`,
 * `keeper.ts`); PostgreSQL (`store.ts`) and Temporal are models.
 */
import { HoldError, type RunContext, type RunResult, type TrackerDefinition } from '../../../exports';
import type { PoolShift } from '../../../activities/tracker/shift/pool-shift';
import { rowOf, T0 } from '../shift-kit';
import { VirtualTime } from '../../support/virtual-time';
import { Draws } from '../../support/draws';
import { Keeper } from './keeper';
import { never, SimulatedNode, type Surroundings } from './node';
import { Store, Transaction } from './store';
import { Promises } from './promises';

const TICK_MS = 20;
const MAX_EVERY_MS = 1_000;
const MOST_POOLS = 4;
/**
 * Values of up to 4 MB, and flushes that are cut by them: the world knows sizes, not bytes. One character of it stands
 * for ten thousand, so a value has 400 at most, a statement takes 420 and a transaction, with a hundred a row, 3,200.
 */
const LARGEST = 400;
const LIMITS = { transaction: { rows: 6, bytes: 3_200 }, statement: { rows: 4, bytes: 420 } };

const OPERATIONS = { look: { every: '1s', gated: true }, scan: { every: '1s', gated: false } } as const;
const DEFINITION: TrackerDefinition = {
  name: 't',
  gate: { every: '1s', check: () => true },
  operations: {
    look: { ...OPERATIONS.look, run: () => ({ value: 1 }) },
    scan: { ...OPERATIONS.scan, run: () => ({ value: 1 }) },
  },
};
const ROW = rowOf(DEFINITION);
const FED: TrackerDefinition = {
  ...DEFINITION,
  operations: { ...DEFINITION.operations, look: { ...DEFINITION.operations.look!, buffer: 'news' } },
};

export class NodeWorld implements Surroundings {
  readonly time = new VirtualTime();
  readonly draw: Draws;
  readonly store: Store;
  readonly definition = FED;
  readonly nodes: SimulatedNode[] = [];
  readonly limits: SimulatedNode['limits'];
  outageUntil = 0;
  private readonly keeper: Keeper;
  private readonly promises: Promises;
  private readonly ids: string[];
  private readonly faultRate: number;
  private calm = false;
  private skewMs: number;
  /** How far the database's clock has jumped in all, milliseconds: what is stored may say wait for as long. */
  private jumpedMs = 0;
  private failure: unknown;
  private named = 0;
  /** By operation and id: what the upstream has. It grows. */
  private readonly upstream = new Map<string, number>();
  /** How large each of its contents is. */
  private readonly sizes = new Map<string, number>();

  constructor(readonly seed: number) {
    this.draw = new Draws(seed);
    const { draw } = this;
    this.faultRate = draw.chance(0.3) ? 0 : draw.between(0.001, 0.03);
    this.skewMs = draw.one([0, 0, 60_000, -60_000, 3_000]);
    const row = structuredClone(ROW);
    row.pools = draw.whole(1, 2);
    row.gateOpen = true;
    Object.assign(row.options, { flushMs: draw.one([20, 100, 250]), patienceMs: 2_000 });
    for (const options of Object.values(row.options.operations)) {
      const everyMs = draw.whole(100, MAX_EVERY_MS);
      const bounds = { maxExpiryMs: 1_500, maxHoldMs: 1_500, maxBackoffMs: 2 * everyMs };
      Object.assign(options, { everyMs, concurrency: draw.whole(1, 4), timeoutMs: draw.whole(50, 400), ...bounds });
      options.stagger = { baseMs: draw.one([0, 50]), windowMs: draw.one([0, everyMs]) };
    }
    this.store = new Store(
      row,
      () => this.time.now,
      () => T0 + this.time.now + this.skewMs,
    );
    this.limits = draw.chance(0.7) ? LIMITS : undefined;
    this.store.slice = this.limits?.statement;
    this.promises = new Promises(this.store, this.time, MAX_EVERY_MS, (error) => this.broken(error));
    this.store.refuses = (json) => (JSON.parse(json) as { content: number }).content % 13 === 7;
    this.ids = Array.from({ length: draw.whole(1, 8) }, (_, i) => `id ${i}`);
    for (const id of this.ids) if (draw.chance(0.8)) this.store.change(id, false);
    const shiftMs = draw.size(300, 10_000);
    this.keeper = new Keeper(
      this,
      (node) => this.code(node),
      () => shiftMs * draw.between(0.8, 1.2),
    );
  }

  /** @throws with the seed when a promise is broken. */
  async live(): Promise<{ shifts: number; writes: number }> {
    this.time.install();
    const spy = jest.spyOn(Date, 'now').mockImplementation(() => T0 + this.time.now);
    let over = false;
    try {
      for (let i = 0; i < 2; i++) this.addNode();
      for (const pool of this.store.pools.keys()) this.drive(pool);
      this.go(this.tick());
      this.go(this.history().then(() => (over = true)));
      await this.time.run(() => over || this.failure !== undefined, 3_600_000);
    } finally {
      for (const node of this.nodes) node.die();
      spy.mockRestore();
      this.time.uninstall();
    }
    if (this.failure !== undefined) throw new Error(`seed ${this.seed}`, { cause: this.failure });
    return { shifts: this.keeper.shifts, writes: this.promises.writes };
  }

  // ── What nodes ask ──

  faults(): number {
    return this.calm ? 0 : this.faultRate;
  }
  results(): number {
    return this.promises.results;
  }
  joined(node: SimulatedNode, shift: PoolShift): void {
    this.promises.join(node, shift);
  }
  committing(tx: Transaction, node: SimulatedNode): void {
    try {
      this.promises.committing(tx, node);
    } catch (thrown) {
      this.broken(thrown);
    }
  }
  broken(thrown: unknown): void {
    this.failure ??= thrown;
  }

  // ── What happens ──

  private go(work: Promise<unknown>): void {
    work.catch((thrown: unknown) => this.broken(thrown));
  }
  private drive(pool: number): void {
    this.go(this.keeper.drive(pool));
  }
  private addNode(): void {
    const node = new SimulatedNode(`node ${++this.named}`, this.draw.one([3, 10, 100]), this);
    this.nodes.push(node);
    node.start();
  }

  private async tick(): Promise<void> {
    for (let ticks = 0; ; ticks++) {
      await this.time.sleep(TICK_MS);
      for (const node of this.nodes) node.tick();
      if (ticks % 5 === 0) this.promises.look(this.nodes, 5 * TICK_MS, this.keeper.winding, this.jumpedMs);
    }
  }

  private async history(): Promise<void> {
    const { draw, time, store } = this;
    for (const until = draw.size(500, 8_000); time.now < until;) {
      await time.sleep(draw.size(1, 500));
      this.happen();
    }
    this.calm = true;
    this.outageUntil = 0;
    for (const node of this.nodes) Object.assign(node, { frozenUntil: 0, cutUntil: 0 });
    store.wishes.clear();
    store.tracker.state = 'running';
    store.tracker.gateOpen = true;
    for (const name of Object.keys(store.tracker.options.operations)) this.enable(name, true);
    store.tracker.version++;
    for (const [key, content] of this.upstream) if (content % 13 === 7) this.upstream.set(key, content + 1);
    // All locks, losses and holds are over by then, and each has run again.
    const calmFrom = time.now + 6_000;
    await time.sleep(6_000 + 3 * MAX_EVERY_MS + 1_500 + 2 * this.jumpedMs);
    this.promises.everyPoolCountsOnce(this.nodes);
    this.promises.everybodyIsFresh(calmFrom, (operation, id) => this.upstream.get(`${operation}/${id}`));
  }

  private happen(): void {
    const { draw, store, time } = this;
    const { tracker } = store;
    const node = draw.one(this.nodes);
    const what = draw.whole(0, 17);
    if (what <= 2) this.go(this.changeRoster(draw.one(this.ids), draw.one(['add', 'add', 'remove', 'purge', 'again'])));
    else if (what === 3 && tracker.pools < MOST_POOLS) this.go(this.split());
    else if (what === 4 || what === 5) {
      const [name, options] = draw.one(Object.entries(tracker.options.operations));
      const everyMs = draw.whole(100, MAX_EVERY_MS);
      const change = draw.one([{ everyMs }, { concurrency: draw.whole(1, 4) }, 'enabled'] as const);
      if (change === 'enabled') this.enable(name, !options.enabled);
      else Object.assign(options, change);
      tracker.version++;
    } else if (what === 6) {
      tracker.state = tracker.state === 'running' ? 'paused' : 'running';
      tracker.version++;
    } else if (what === 7) {
      tracker.gateOpen = draw.one([true, false]);
      tracker.version++;
    } else if (what === 8) node.frozenUntil = time.now + draw.size(50, 5_000);
    else if (what === 9) node.cutUntil = time.now + draw.size(50, 6_000);
    else if (what === 10 && draw.chance(0.5)) {
      node.die();
      this.nodes.splice(this.nodes.indexOf(node), 1);
      this.addNode();
    } else if (what === 11 && draw.chance(0.4)) {
      const by = draw.between(-3_000, 3_000);
      this.skewMs += by;
      this.jumpedMs += Math.abs(by);
      this.promises.jumped();
    } else if (what === 12) this.outageUntil = time.now + draw.size(10, 3_000);
    else if (what === 13) this.go(this.locked(draw.one([...store.pools.keys()]), draw.size(10, 2_500)));
    else if (what === 14 && node.shifts.size > 0) {
      draw.one([...node.shifts]).end(draw.one(['handed back', new Error('made to crash')]));
    } else if (what === 15) this.askAnew(draw.one(['look', 'scan']));
    else if (what >= 16) this.wish(node);
    for (const shift of node.shifts) shift.hinted ||= draw.chance(0.5);
    if (draw.chance(0.5)) node.writer.hint();
  }

  /** An operator wants something of a node. */
  private wish({ name }: SimulatedNode): void {
    const { draw, store } = this;
    const wishes = draw.one([
      { drained: true },
      { drained_for: [store.tracker.name] },
      { target: draw.whole(0, 2) },
      { weight: draw.between(0.1, 5) },
      {},
    ]);
    store.wishes.set(name, wishes);
    if (draw.chance(0.7)) for (const node of this.nodes) this.go(node.presence.attend());
  }

  private enable(operation: string, enabled: boolean): void {
    const { tracker } = this.store;
    const options = tracker.options.operations[operation]!;
    if (enabled && !options.enabled) tracker.since = { ...tracker.since, [operation]: this.store.clock() };
    options.enabled = enabled;
  }

  private askAnew(operation: string): void {
    this.promises.askedAnew(operation);
    for (const { holds, shifts, clock } of this.nodes) {
      holds.askAnew('t', operation, '', clock.now());
      for (const shift of shifts) shift.loop(operation)?.askAnew(undefined, clock.now());
    }
  }

  /** Somebody has the pool's row for so long. */
  private async locked(pool: number, ms: number, then?: () => void): Promise<void> {
    const tx = new Transaction(this.store, 0);
    while (!this.store.lockAlone(pool, tx)) {
      await this.time.sleep(10);
      tx.lastWord = this.time.now;
    }
    await this.time.sleep(ms);
    then?.();
    tx.over = true;
  }

  private async changeRoster(id: string, how: string): Promise<void> {
    if (how === 'purge') return this.store.purge(id);
    const pool = this.store.poolOf(id);
    await this.locked(pool, this.draw.size(1, 50), () => {
      // A split came first: it looks again, as the real one does.
      if (this.store.poolOf(id) !== pool) return;
      if (how !== 'add') this.store.change(id, true);
      if (how !== 'remove') this.store.change(id, false);
      this.promises.rosterChanged(id);
    });
  }

  private async split(): Promise<void> {
    const { store } = this;
    const before = store.tracker.pools;
    const source = before - 2 ** (31 - Math.clz32(before));
    let done = false;
    await this.locked(source, this.draw.size(1, 50), () => {
      if (store.tracker.pools !== before) return;
      store.split();
      done = true;
    });
    if (done) this.drive(before);
  }

  // ── What runs ──

  /** The user's code, for one shift: it may not be asked twice at once for a member. */
  private code(node: SimulatedNode): TrackerDefinition {
    const active = new Map<string, RunContext>();
    const run = (context: RunContext) => this.ask(context, active, node);
    const { look, scan } = DEFINITION.operations;
    return { ...DEFINITION, operations: { look: { ...look!, run }, scan: { ...scan!, run } } };
  }

  private ask(
    context: RunContext,
    active: Map<string, RunContext>,
    node: SimulatedNode,
  ): RunResult | Promise<RunResult> {
    const { draw } = this;
    const key = `${context.operation}/${context.id}`;
    if (active.has(key)) throw this.failNow(`${key} runs twice at once in one shift`);
    active.set(key, context);
    const ended = () => active.get(key) === context && active.delete(key);
    context.signal.addEventListener('abort', ended, { once: true });
    this.promises.ran(key);
    const before = this.upstream.get(key) ?? 0;
    const content = this.calm || draw.chance(0.4) ? before : before + draw.whole(1, 3);
    this.upstream.set(key, content);
    const how = this.calm ? 0 : draw.whole(0, 30);
    // As it sent its request: what the store refuses meanwhile changes nothing of the answer.
    const given = context.etag;
    const answer = (): RunResult => {
      ended();
      if (how === 1) throw new HoldError('busy', { afterMs: draw.size(10, 1_500), scope: 'member' });
      if (how === 2) throw new HoldError('busy', { afterMs: draw.size(10, 800), scope: 'operation' });
      if (how <= 5 && how > 2)
        throw Object.assign(new Error(`failed with ${draw.next()}`), { status: draw.one([404, 500]) });
      const etag = context.operation === 'look' ? `e${content}` : undefined;
      const expiresAt = draw.chance(0.1) ? Date.now() + draw.size(1, 1_500) : undefined;
      if (etag !== undefined && given === etag) return { unchanged: true, expiresAt };
      const value = {
        id: context.id,
        operation: context.operation,
        content,
        pad: 'x'.repeat(this.sizeOf(key, content)),
      };
      return { value, etag, expiresAt };
    };
    if (how === 6) return never;
    if (draw.chance(0.4)) return answer();
    // In calm no run is longer than the shortest time-out.
    return node.wait(how === 7 ? draw.between(300, 900) : draw.size(1, this.calm ? 20 : 60)).then(answer);
  }

  private sizeOf(key: string, content: number): number {
    const name = `${key}/${content}`;
    let size = this.sizes.get(name);
    if (size === undefined) this.sizes.set(name, (size = this.draw.chance(0.5) ? 1 : this.draw.size(1, LARGEST)));
    return size;
  }

  private failNow(message: string): Error {
    const error = new Error(message);
    this.broken(error);
    return error;
  }
}
