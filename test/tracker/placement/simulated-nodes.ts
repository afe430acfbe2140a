/**
 * The nodes of the simulated cluster by themselves: with the real `Placer` they take pools, hand them on and
 * give them away, write their rows and read the others'. `simulated-cluster.ts` adds what happens to them.
 */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { poolOf, type PlacedPool } from '../../../activities/tracker/placement/types';
import { hasRoom } from '../../../activities/tracker/shift/cluster-sight';
import { opensOf } from '../../../activities/tracker/shift/openings';
import { retimed, type PlacementRow } from '../../../activities/tracker/placement/row';
import type { Draws } from '../../support/draws';
import { EventQueue } from './event-queue';
import { COST, SimulatedServer, type SimulatedNode, type SimulatedPool } from './simulated-server';

const ROW_MS = 1_000;
/** The writer of a node flushes its values so often, and looks at fences with that. */
export const FLUSH_MS = 250;

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

/** The nodes of the cluster and what they do by themselves. */
export class SimulatedNodes {
  readonly events = new EventQueue();
  readonly pools = new Map<string, SimulatedPool>();
  readonly nodes = new Map<string, SimulatedNode>();
  counts: Counts = SimulatedNodes.nothing();
  protected readonly rows = new Map<string, PlacementRow>();
  protected readonly server: SimulatedServer;
  protected lastDeathAt = -Infinity;
  /** PostgreSQL cannot be reached until then. */
  protected storeAwayUntil = 0;
  /** The clock of the database that is there now is ahead by this of the one that there was in the beginning. */
  protected databaseAheadMs = 0;
  /** The last time that a pool moved, or was offered to a node. */
  movedAt = 0;

  constructor(protected readonly options: SimulatedOptions) {
    this.server = new SimulatedServer(this.events, options.draw, {
      dispatched: (pool, node, queue) => this.begin(pool, node, queue),
      fellBack: () => this.counts.fallBacks++,
    });
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
        retried: false,
        tries: 0,
        states: 0,
      };
      this.pools.set(pool.id, fresh);
      this.server.schedule(fresh, fresh.shared);
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

  protected isFrozen(node: SimulatedNode): boolean {
    return this.now < node.frozenUntil;
  }

  protected get isStoreAway(): boolean {
    return this.now < this.storeAwayUntil;
  }

  /** Runs it when the node can: at once, after it was frozen, or never. */
  protected on(node: SimulatedNode, run: () => void): void {
    if (!node.alive) return;
    if (this.isFrozen(node)) this.events.in(node.frozenUntil - this.now, () => this.on(node, run));
    else run();
  }

  protected die(name: string): SimulatedNode {
    const node = this.nodes.get(name)!;
    node.alive = false;
    this.lastDeathAt = this.now;
    this.nodes.delete(name);
    this.server.forget(node);
    return node;
  }

  protected orphan(pool: SimulatedPool): void {
    this.counts.orphans++;
    this.leave(pool);
    pool.idleSince = undefined;
    pool.retried = true;
    // Temporal's own next attempt, or the workflow's next shift.
    this.server.serve(COST.timeOut + (pool.viaShared ? 0 : COST.schedule), () =>
      this.server.enqueue(pool, pool.shared),
    );
  }

  /** Its shift has ended, and was not handed on. */
  protected leave(pool: SimulatedPool): void {
    pool.on = undefined;
    pool.runs = false;
    pool.hops = 0;
    pool.from = undefined;
    pool.handedOnAt = undefined;
    pool.declined = false;
  }

  /** A poll a queue and place, as long as it may take what comes. */
  protected poll(node: SimulatedNode, only?: string): void {
    if (!node.alive || !node.hasView) return;
    const now = this.timeOf(node);
    const roomy = hasRoom(node.placer.view(now));
    const opens = opensOf({ able: true, roomy, mayAsk: node.placer.opensSharedQueues(now) });
    const shared = opens.shared ? ['shared', ...node.labels.map((label) => `shared ${label}`)] : [];
    for (const name of [...shared, ...(opens.own ? [node.name] : [])]) {
      if (only !== undefined && name !== only) continue;
      this.server.poll(node, name);
    }
  }

  /** A node has got the activity: it takes the pool, or says whose it is. */
  protected begin(pool: SimulatedPool, node: SimulatedNode, queue: string): void {
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
      pool.retried = true;
      this.server.serve(COST.fail, () =>
        this.events.in(this.options.draw.between(250, 500), () => this.server.enqueue(pool, pool.shared)),
      );
      this.events.in(1, () => this.on(node, () => this.poll(node, queue)));
      return;
    }
    const { hops, from, retried } = pool;
    const waitedMs = pool.handedOnAt === undefined ? 0 : this.now - pool.handedOnAt;
    const arrival = { hops, waitedMs, from, retried };
    const offered = { ...pool.pool, states: pool.states };
    const decision = node.placer.offered(offered, arrival, this.timeOf(node), this.options.draw.next());
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
    pool.retried = true;
    const wait = Math.min(PLACEMENT.nobodyMaxMs, PLACEMENT.nobodyMs * 2 ** pool.tries++);
    pool.idleSince = undefined;
    this.server.serve(COST.fail, () => this.events.in(wait, () => this.server.enqueue(pool, pool.shared)));
  }

  protected handOn(pool: SimulatedPool, node: SimulatedNode, to: string): void {
    node.tokens.set(pool.pool.id, pool.fence.token);
    pool.retried = false;
    pool.hops++;
    pool.handedOnAt ??= this.now;
    this.server.serve(COST.complete, () => this.server.schedule(pool, to));
  }

  protected load(pool: SimulatedPool, node: SimulatedNode): void {
    pool.came = pool.from === undefined ? undefined : { from: pool.from, at: this.now };
    node.loadsUntil = Math.max(this.now, node.loadsUntil);
    const begun = () => {
      if (pool.on !== node) return;
      pool.fence = { token: pool.fence.token + 1, holder: node.name, takenAt: this.now + this.databaseAheadMs };
      if (!pool.declined) this.counts.longestMove = Math.max(this.counts.longestMove, this.waited(pool));
    };
    this.events.in(node.loadsUntil - this.now, () => this.on(node, begun));
    node.loadsUntil += 20 + pool.pool.members * 0.01;
    const loaded = () => {
      if (pool.on !== node) return;
      if (pool.runs) throw new Error(`${pool.pool.id} is loaded by ${node.name} while it runs`);
      pool.runs = true;
      this.write(pool, node);
      [pool.hops, pool.tries, pool.declined, pool.retried] = [0, 0, false, false];
      [pool.from, pool.idleSince, pool.handedOnAt] = [undefined, undefined, undefined];
    };
    this.events.in(node.loadsUntil - this.now, () => this.on(node, loaded));
  }

  /** Its members have states as the code of the node writes them, some of them or all, where it has code for them. */
  private write(pool: SimulatedPool, { name, code }: SimulatedNode): void {
    const { tracker } = poolOf(pool.pool.id);
    const [reads, writes] = [code.reads[tracker], code.writes[tracker]];
    if (reads === undefined || writes === undefined) return;
    if (pool.states > reads)
      throw new Error(`${name} reads states up to ${reads}, and keeps ${pool.pool.id} with newer`);
    const { draw } = this.options;
    if (draw.chance(0.5)) pool.states = draw.chance(0.2) ? writes : Math.max(pool.states, writes);
  }

  /** Without a keeper for the sake of placement; 0 where a node died that it may have been given to. */
  protected waited({ idleSince }: SimulatedPool): number {
    return idleSince === undefined || this.lastDeathAt >= idleSince - 6_000 ? 0 : this.now - idleSince;
  }

  protected attend(node: SimulatedNode): void {
    if (!node.alive) return;
    const { draw, missedRows = 0 } = this.options;
    this.events.in(ROW_MS + draw.between(-20, 20), () => this.attend(node));
    if (!draw.chance(missedRows)) this.on(node, () => this.attendOnce(node));
  }

  /** One transaction: its row is written, and the others' are read. */
  protected attendOnce(node: SimulatedNode): void {
    const { draw, viewDelayMs = 0 } = this.options;
    const askedAt = this.timeOf(node);
    this.events.in(draw.between(1, 15), () => {
      if (!node.alive || this.isFrozen(node) || this.isStoreAway) return;
      const at = this.now + this.databaseAheadMs;
      // The settings are in the row itself: who is drained is so for all from then on.
      const row = retimed(node.placer.row(this.timeOf(node)), (ms) => ms + node.aheadMs);
      this.rows.set(node.name, { ...row, at });
      const read = [...this.rows.values()];
      this.events.in(draw.between(1, 15) + draw.between(0, viewDelayMs), () => {
        if (!node.alive || this.isFrozen(node)) return;
        // Wrong by half of the way's time at most: the real clock (`shift/clock.ts`) is better than that.
        node.aheadMs = at - (askedAt + this.timeOf(node)) / 2;
        const seen = read.map((row) => retimed(row, (ms) => ms - node.aheadMs));
        const isUrgent = node.placer.observe(seen, this.timeOf(node));
        node.hasView = true;
        this.poll(node);
        if (isUrgent) this.attendOnce(node);
      });
    });
  }

  protected flush(node: SimulatedNode): void {
    if (!node.alive) return;
    this.events.in(FLUSH_MS, () => this.on(node, () => this.flush(node)));
    if (this.isStoreAway) return;
    const { placer, tokens } = node;
    const nowMs = this.timeOf(node);
    // A flush finds out which of its pools somebody else has taken meanwhile.
    for (const id of placer.pools.keys()) if (this.pools.get(id)!.on !== node) placer.ended(id);
    for (const id of placer.awaited()) {
      const { fence } = this.pools.get(id)!;
      if (fence.token !== tokens.get(id)) placer.taken(id, fence.holder, fence.takenAt - node.aheadMs, nowMs);
    }
    for (const { pool, to } of placer.moves(nowMs)) {
      this.counts.moves++;
      this.movedAt = this.now;
      const moving = this.pools.get(pool.id)!;
      this.given(moving, node, to);
      tokens.set(pool.id, moving.fence.token);
      // Runs that are under way end first.
      this.events.in(this.options.draw.between(2, 60), () => this.on(node, () => this.giveAway(moving, node, to)));
    }
    this.poll(node);
  }

  /** A node has decided to give a pool to another one. */
  protected given(_pool: SimulatedPool, _node: SimulatedNode, _to: string): void {
    // Nobody looks.
  }

  protected giveAway(pool: SimulatedPool, node: SimulatedNode, to: string): void {
    if (!node.alive || pool.on !== node) return;
    if (!pool.runs) {
      // It is not loaded yet: its shift ends when it is.
      this.events.in(10, () => this.on(node, () => this.giveAway(pool, node, to)));
      return;
    }
    node.placer.released(pool.pool.id, this.timeOf(node));
    pool.on = undefined;
    pool.runs = false;
    pool.from = node.name;
    pool.idleSince = this.now;
    this.handOn(pool, node, to);
  }

  /** The database's time as it was first read, and on from there without jumps. */
  protected timeOf(node: SimulatedNode): number {
    return this.now + node.offMs;
  }
}
