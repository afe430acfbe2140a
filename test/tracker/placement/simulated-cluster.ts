/**
 * A cluster in one process and in no time: nodes with the real `Placer`, one Temporal server that does one thing at a
 * time, and rows that are written each second and read by all. `cluster-world.test.ts` lives through random histories
 * of it, `cluster-targets.test.ts` measures the cases that are promised.
 *
 * The server's costs are those of the development server on two cores: schedule 6 ms (with the workflow task), dispatch
 * 3, complete 2, fail 3, time out 2. So a move costs it 11 ms. Loading a pool: 20 ms and 10 us a member, one after
 * another on a node.
 */
import { Placer, type NodeSettings } from '../../../activities/tracker/placement/placer';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import type { PlacementRow } from '../../../activities/tracker/placement/row';
import type { Draws } from '../../support/draws';
import { EventQueue } from './event-queue';

const COST = { schedule: 6, dispatch: 3, complete: 2, fail: 3, timeOut: 2 };
const POLLS = 2;
const ROW_MS = 1_000;
/** The writer of a node flushes its values so often, and looks at fences with that. */
const FLUSH_MS = 250;

/** A pool and its workflow: where it is on its way around. */
interface SimulatedPool {
  readonly pool: PlacedPool;
  /** The queue of its label, or the one of all. */
  readonly shared: string;
  /** The node whose shift it is, from the moment when a worker has got it until that shift has ended. */
  on?: SimulatedNode;
  /** It is loaded there, and runs. */
  runs: boolean;
  /** The row of PostgreSQL. */
  fence: { token: number; holder: string; takenAt: number };
  hops: number;
  from?: string;
  /** When it was handed on for the first time since it was kept. */
  handedOnAt?: number;
  /** When it was last without a keeper for the sake of placement alone: no node that mattered has died. */
  idleSince?: number;
  declined: boolean;
  /** It came from a shared queue, so that Temporal itself tries it again. */
  viaShared: boolean;
  tries: number;
}

interface Task {
  readonly pool: SimulatedPool;
  gone: boolean;
}

class Queue {
  tasks: Task[] = [];
  polls: SimulatedNode[] = [];
}

export interface SimulatedNode {
  readonly name: string;
  readonly placer: Placer;
  readonly labels: readonly string[];
  alive: boolean;
  drained: boolean;
  /**
   * Until then nothing happens in it: its connections stay open, it beats no more, and its polls swallow what comes.
   */
  frozenUntil: number;
  /** Its own clock is wrong by this, and PostgreSQL's is ahead of it by that. */
  readonly skewMs: number;
  aheadMs: number;
  loadsUntil: number;
  tokens: Map<string, number>;
  hasView: boolean;
}

export interface SimulatedOptions {
  draw: Draws;
  pools: readonly (PlacedPool & { label?: string })[];
  /** Rows are read so much later than they were written, besides the second between two looks. */
  viewDelayMs?: number;
  /** This part of the rows is not written, 0 to 1. */
  missedRows?: number;
  heartbeatTimeoutMs?: number;
}

export interface Counts {
  moves: number;
  redirects: number;
  nobody: number;
  fallBacks: number;
  orphans: number;
  /**
   * The longest that a pool waited after a node had declined it until one took it, or from its old node to its new one.
   * Milliseconds.
   */
  longestDecline: number;
  longestMove: number;
}

export class SimulatedCluster {
  readonly events = new EventQueue();
  readonly pools = new Map<string, SimulatedPool>();
  readonly nodes = new Map<string, SimulatedNode>();
  counts: Counts = SimulatedCluster.nothing();
  private readonly rows = new Map<string, PlacementRow>();
  private readonly queues = new Map<string, Queue>();
  private serverFreeAt = 0;
  private lastDeathAt = -Infinity;
  /** PostgreSQL cannot be reached until then. */
  private storeAwayUntil = 0;
  /** The last time that a pool moved, or was offered to a node. */
  movedAt = 0;

  constructor(private readonly options: SimulatedOptions) {
    for (const pool of options.pools) {
      const shared = pool.label === undefined ? 'shared' : `shared ${pool.label}`;
      const fence = { token: 0, holder: '', takenAt: -Infinity };
      const fresh: SimulatedPool = {
        pool,
        shared,
        runs: false,
        fence,
        hops: 0,
        declined: false,
        viaShared: true,
        tries: 0,
      };
      this.pools.set(pool.id, fresh);
      this.schedule(fresh, fresh.shared);
    }
  }

  static nothing(): Counts {
    return { moves: 0, redirects: 0, nobody: 0, fallBacks: 0, orphans: 0, longestDecline: 0, longestMove: 0 };
  }

  get now(): number {
    return this.events.now;
  }

  run(ms: number): void {
    this.events.runUntil(this.now + ms);
  }

  /** @returns milliseconds until it was so, or undefined: it was not within `mostMs` */
  runUntil(holds: () => boolean, mostMs: number, stepMs = 50): number | undefined {
    const from = this.now;
    while (!holds()) {
      if (this.now - from >= mostMs) return undefined;
      this.run(stepMs);
    }
    return this.now - from;
  }

  join(name: string, settings: Partial<NodeSettings> = {}, labels: readonly string[] = []): SimulatedNode {
    const { draw } = this.options;
    const kinds = this.options.pools.filter(({ label }) => label === undefined || labels.includes(label));
    const wanted: NodeSettings = {
      weight: 1,
      places: Infinity,
      loadLimit: Infinity,
      keeps: new Set(kinds.map(({ kind }) => kind)),
      up: true,
      hot: false,
      ...settings,
    };
    const skewMs = draw.between(-4_000, 4_000);
    const node: SimulatedNode = {
      name,
      placer: new Placer(name, wanted),
      labels,
      alive: true,
      drained: !wanted.up,
      frozenUntil: 0,
      skewMs,
      // Read once before anything else.
      aheadMs: -skewMs + draw.between(-15, 15),
      loadsUntil: 0,
      tokens: new Map(),
      hasView: false,
    };
    this.nodes.set(name, node);
    this.events.in(draw.between(0, 200), () => this.attend(node));
    this.events.in(draw.between(0, FLUSH_MS), () => this.flush(node));
    return node;
  }

  /** kill -9: its connections close, its pools are missed after the heartbeat timeout. */
  kill(name: string): void {
    const node = this.die(name);
    const lost = [...this.pools.values()].filter(({ on }) => on === node);
    this.events.in(this.options.heartbeatTimeoutMs ?? 5_000, () => {
      for (const pool of lost) if (pool.on === node) this.orphan(pool);
    });
  }

  /** A clean end: it has given everything away, or its shifts end for other nodes. */
  stop(name: string): void {
    const node = this.die(name);
    this.rows.delete(name);
    for (const pool of this.pools.values()) {
      if (pool.on !== node) continue;
      this.leave(pool);
      this.serve(COST.complete, () => this.schedule(pool, pool.shared));
    }
  }

  /** It goes on after that; where that is longer than the heartbeat timeout, others have its pools by then. */
  freeze(name: string, ms: number): void {
    const node = this.nodes.get(name)!;
    node.frozenUntil = this.now + ms;
    this.lastDeathAt = this.now + ms;
    const mine = [...this.pools.values()].filter(({ on }) => on === node);
    this.events.in(this.options.heartbeatTimeoutMs ?? 5_000, () => {
      if (this.isFrozen(node)) for (const pool of mine) if (pool.on === node) this.orphan(pool);
    });
  }

  /** An outage of PostgreSQL: no rows, no fences, no flush. */
  loseStore(ms: number): void {
    this.storeAwayUntil = this.now + ms;
    this.lastDeathAt = this.now + ms;
  }

  drain(name: string): void {
    const node = this.nodes.get(name)!;
    node.drained = true;
    node.placer.settings = { ...node.placer.settings, up: false };
    // An announcement: all look at once.
    for (const other of this.nodes.values()) if (other.alive) this.attendOnce(other);
  }

  resume(name: string): void {
    const node = this.nodes.get(name)!;
    node.drained = false;
    node.placer.settings = { ...node.placer.settings, up: true };
    for (const other of this.nodes.values()) if (other.alive) this.attendOnce(other);
    this.poll(node);
  }

  set(name: string, settings: Partial<NodeSettings>): void {
    const node = this.nodes.get(name)!;
    node.placer.settings = { ...node.placer.settings, ...settings };
  }

  get living(): SimulatedNode[] {
    return [...this.nodes.values()].filter(({ alive }) => alive);
  }

  loadOf(name: string): number {
    let load = 0;
    for (const { size } of this.nodes.get(name)!.placer.pools.values()) load += size;
    return load;
  }

  /** Throws where a pool is kept by two nodes, or by a node that does not know of it. */
  check(): void {
    const keeper = new Map<string, string>();
    for (const node of this.living) {
      for (const id of node.placer.pools.keys()) {
        if (keeper.has(id)) throw new Error(`${id} is kept by ${keeper.get(id)!} and ${node.name}`);
        keeper.set(id, node.name);
      }
    }
    for (const [id, { on, runs }] of this.pools) {
      if (on?.alive && runs && keeper.get(id) !== on.name && !on.placer.awaited().includes(id))
        throw new Error(`${id} runs on ${on.name}, which does not know of it`);
    }
  }

  /** All pools are kept by nodes that live. */
  get allKept(): boolean {
    for (const { on, runs } of this.pools.values()) if (!on?.alive || !runs) return false;
    return true;
  }

  private isFrozen(node: SimulatedNode): boolean {
    return this.now < node.frozenUntil;
  }

  private get isStoreAway(): boolean {
    return this.now < this.storeAwayUntil;
  }

  /** Runs it when the node can: at once, after it was frozen, or never. */
  private on(node: SimulatedNode, run: () => void): void {
    if (!node.alive) return;
    if (this.isFrozen(node)) this.events.in(node.frozenUntil - this.now, () => this.on(node, run));
    else run();
  }

  private die(name: string): SimulatedNode {
    const node = this.nodes.get(name)!;
    node.alive = false;
    this.lastDeathAt = this.now;
    this.nodes.delete(name);
    for (const queue of this.queues.values()) queue.polls = queue.polls.filter((poll) => poll !== node);
    return node;
  }

  private orphan(pool: SimulatedPool): void {
    this.counts.orphans++;
    this.leave(pool);
    pool.idleSince = undefined;
    // Temporal's own next attempt, or the workflow's next shift.
    this.serve(COST.timeOut + (pool.viaShared ? 0 : COST.schedule), () => this.enqueue(pool, pool.shared));
  }

  /** Its shift has ended, and was not handed on. */
  private leave(pool: SimulatedPool): void {
    pool.on = undefined;
    pool.runs = false;
    pool.hops = 0;
    pool.from = undefined;
    pool.handedOnAt = undefined;
    pool.declined = false;
  }

  /** The server does one thing after the other. */
  private serve(costMs: number, then: () => void): void {
    this.serverFreeAt = Math.max(this.now, this.serverFreeAt) + costMs;
    this.events.in(this.serverFreeAt - this.now, then);
  }

  private schedule(pool: SimulatedPool, queue: string): void {
    this.serve(COST.schedule, () => this.enqueue(pool, queue));
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name);
    if (!queue) this.queues.set(name, (queue = new Queue()));
    return queue;
  }

  private enqueue(pool: SimulatedPool, name: string): void {
    const queue = this.queue(name);
    const task: Task = { pool, gone: false };
    queue.tasks.push(task);
    if (name !== pool.shared) {
      this.events.in(PLACEMENT.ownQueueMs, () => {
        if (task.gone) return;
        task.gone = true;
        this.counts.fallBacks++;
        this.serve(COST.timeOut, () => this.schedule(pool, pool.shared));
      });
    }
    this.match(name);
  }

  private match(name: string): void {
    const queue = this.queue(name);
    queue.tasks = queue.tasks.filter(({ gone }) => !gone);
    while (queue.tasks.length > 0 && queue.polls.length > 0) {
      const task = queue.tasks.shift()!;
      task.gone = true;
      const at = this.options.draw.whole(0, queue.polls.length - 1);
      const [node] = queue.polls.splice(at, 1) as [SimulatedNode];
      const { pool } = task;
      pool.on = node;
      pool.viaShared = name === pool.shared;
      this.serve(COST.dispatch, () => this.begin(pool, node, name));
    }
  }

  /** A poll a queue and place, as long as it may take what comes. */
  private poll(node: SimulatedNode, only?: string): void {
    if (!node.alive || !node.hasView) return;
    const isOpen = node.placer.opensSharedQueues(this.databaseTime(node));
    const shared = !isOpen ? [] : ['shared', ...node.labels.map((label) => `shared ${label}`)];
    for (const name of [...shared, node.name]) {
      if (only !== undefined && name !== only) continue;
      const queue = this.queue(name);
      const open = queue.polls.filter((poll) => poll === node).length;
      for (let more = open; more < POLLS; more++) queue.polls.push(node);
      this.match(name);
    }
  }

  /** A node has got the activity: it takes the pool, or says whose it is. */
  private begin(pool: SimulatedPool, node: SimulatedNode, queue: string): void {
    if (!node.alive || this.isFrozen(node)) {
      const most = this.options.heartbeatTimeoutMs ?? 5_000;
      const thawsInTime = node.alive && node.frozenUntil - this.now < most;
      if (thawsInTime) this.on(node, () => this.begin(pool, node, queue));
      else this.events.in(most, () => pool.on === node && this.orphan(pool));
      if (!thawsInTime) this.on(node, () => this.poll(node, queue));
      return;
    }
    if (this.isStoreAway) {
      // Its fence cannot be taken: Temporal tries again.
      pool.on = undefined;
      this.serve(COST.fail, () =>
        this.events.in(this.options.draw.between(250, 500), () => this.enqueue(pool, pool.shared)),
      );
      this.events.in(1, () => this.on(node, () => this.poll(node, queue)));
      return;
    }
    const { hops, from } = pool;
    const waitedMs = pool.handedOnAt === undefined ? 0 : this.now - pool.handedOnAt;
    const arrival = { hops, waitedMs, from };
    const decision = node.placer.offered(pool.pool, arrival, this.databaseTime(node), this.options.draw.next());
    this.events.in(this.options.draw.between(1, 5), () => this.on(node, () => this.poll(node, queue)));
    if (decision.answer !== 'nobody') this.movedAt = this.now;
    if (decision.answer === 'take') {
      if (pool.declined) this.counts.longestDecline = Math.max(this.counts.longestDecline, this.waited(pool));
      return this.load(pool, node);
    }
    pool.on = undefined;
    pool.idleSince ??= this.now;
    if (decision.answer === 'redirect') {
      this.counts.redirects++;
      pool.declined = true;
      this.handOn(pool, node, decision.to);
      return;
    }
    this.counts.nobody++;
    const wait = Math.min(PLACEMENT.nobodyMaxMs, PLACEMENT.nobodyMs * 2 ** pool.tries++);
    pool.idleSince = undefined;
    this.serve(COST.fail, () => this.events.in(wait, () => this.enqueue(pool, pool.shared)));
  }

  private handOn(pool: SimulatedPool, node: SimulatedNode, to: string): void {
    node.tokens.set(pool.pool.id, pool.fence.token);
    pool.hops++;
    pool.handedOnAt ??= this.now;
    this.serve(COST.complete, () => this.schedule(pool, to));
  }

  private load(pool: SimulatedPool, node: SimulatedNode): void {
    node.loadsUntil = Math.max(this.now, node.loadsUntil);
    const begun = () => {
      if (pool.on !== node) return;
      pool.fence = { token: pool.fence.token + 1, holder: node.name, takenAt: this.now };
      if (!pool.declined) this.counts.longestMove = Math.max(this.counts.longestMove, this.waited(pool));
    };
    this.events.in(node.loadsUntil - this.now, () => this.on(node, begun));
    node.loadsUntil += 20 + pool.pool.members * 0.01;
    const loaded = () => {
      if (pool.on !== node) return;
      if (pool.runs) throw new Error(`${pool.pool.id} is loaded by ${node.name} while it runs`);
      pool.runs = true;
      [pool.hops, pool.tries, pool.declined] = [0, 0, false];
      [pool.from, pool.idleSince, pool.handedOnAt] = [undefined, undefined, undefined];
    };
    this.events.in(node.loadsUntil - this.now, () => this.on(node, loaded));
  }

  /** Without a keeper for the sake of placement; 0 where a node died that it may have been given to. */
  private waited({ idleSince }: SimulatedPool): number {
    return idleSince === undefined || this.lastDeathAt >= idleSince - 6_000 ? 0 : this.now - idleSince;
  }

  private attend(node: SimulatedNode): void {
    if (!node.alive) return;
    const { draw, missedRows = 0 } = this.options;
    this.events.in(ROW_MS + draw.between(-20, 20), () => this.attend(node));
    if (!draw.chance(missedRows)) this.on(node, () => this.attendOnce(node));
  }

  /** One transaction: its row is written, and the others' are read. */
  private attendOnce(node: SimulatedNode): void {
    const { draw, viewDelayMs = 0 } = this.options;
    const askedAt = this.localTime(node);
    this.events.in(draw.between(1, 15), () => {
      if (!node.alive || this.isFrozen(node) || this.isStoreAway) return;
      const at = this.now;
      // The settings are in the row itself: who is drained is so for all from then on.
      this.rows.set(node.name, { ...node.placer.row(this.databaseTime(node)), at });
      const read = [...this.rows.values()];
      this.events.in(draw.between(1, 15) + draw.between(0, viewDelayMs), () => {
        if (!node.alive || this.isFrozen(node)) return;
        node.aheadMs = at - (askedAt + this.localTime(node)) / 2;
        const isUrgent = node.placer.observe(read, this.databaseTime(node));
        node.hasView = true;
        this.poll(node);
        if (isUrgent) this.attendOnce(node);
      });
    });
  }

  private flush(node: SimulatedNode): void {
    if (!node.alive) return;
    this.events.in(FLUSH_MS, () => this.on(node, () => this.flush(node)));
    if (this.isStoreAway) return;
    const { placer, tokens } = node;
    const nowMs = this.databaseTime(node);
    // A flush finds out which of its pools somebody else has taken meanwhile.
    for (const id of placer.pools.keys()) if (this.pools.get(id)!.on !== node) placer.ended(id);
    for (const id of placer.awaited()) {
      const { fence } = this.pools.get(id)!;
      if (fence.token !== tokens.get(id)) placer.taken(id, fence.holder, fence.takenAt, nowMs);
    }
    for (const { pool, to } of placer.moves(nowMs)) {
      this.counts.moves++;
      this.movedAt = this.now;
      const moving = this.pools.get(pool.id)!;
      tokens.set(pool.id, moving.fence.token);
      // Runs that are under way end first.
      this.events.in(this.options.draw.between(2, 60), () => this.on(node, () => this.giveAway(moving, node, to)));
    }
  }

  private giveAway(pool: SimulatedPool, node: SimulatedNode, to: string): void {
    if (!node.alive || pool.on !== node) return;
    if (!pool.runs) {
      // It is not loaded yet: its shift ends when it is.
      this.events.in(10, () => this.on(node, () => this.giveAway(pool, node, to)));
      return;
    }
    node.placer.released(pool.pool.id, this.databaseTime(node));
    pool.on = undefined;
    pool.runs = false;
    pool.from = node.name;
    pool.idleSince = this.now;
    this.handOn(pool, node, to);
  }

  private localTime(node: SimulatedNode): number {
    return this.now + node.skewMs;
  }

  private databaseTime(node: SimulatedNode): number {
    return this.localTime(node) + node.aheadMs;
  }
}
