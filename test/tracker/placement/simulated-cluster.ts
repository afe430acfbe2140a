/**
 * A cluster in one process and in no time: nodes with the real `Placer`, one Temporal server that does one thing at a
 * time, and rows that are written each second and read by all. `cluster-world.test.ts` lives through random histories
 * of it, `cluster-targets.test.ts` measures the cases that are promised.
 *
 * The server's costs are those of the development server on two cores: schedule 6 ms (with the workflow task), dispatch
 * 3, complete 2, fail 3, time out 2. So a move costs it 11 ms. Loading a pool: 20 ms and 10 us a member, one after
 * another on a node.
 */
import { NO_STATES, type KnownStates } from '../../../activities/tracker/member/loading';
import { Placer, type NodeSettings } from '../../../activities/tracker/placement/placer';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { FLUSH_MS, SimulatedNodes } from './simulated-nodes';
import { COST, LONG_POLL_MS, type SimulatedNode, type SimulatedPool } from './simulated-server';

/** The cluster, and whatever a test does to it. */
export class SimulatedCluster extends SimulatedNodes {
  /** By node: since when it has been there, undrained and heard of. It may have at once again what it gave before. */
  private readonly excused = new Map<string, number>();

  join(
    name: string,
    settings: Partial<NodeSettings> = {},
    labels: readonly string[] = [],
    code: KnownStates = NO_STATES,
  ): SimulatedNode {
    const { draw } = this.options;
    const kinds = this.options.pools.filter(({ label }) => label === undefined || labels.includes(label));
    const wanted: NodeSettings = {
      weight: 1,
      places: Infinity,
      loadLimit: Infinity,
      keeps: new Set(kinds.map(({ kind }) => kind)),
      up: true,
      hot: false,
      cutOff: false,
      ...settings,
    };
    // Whatever the machine's own clock says: it is set before anything else.
    draw.between(-4_000, 4_000);
    const node: SimulatedNode = {
      name,
      placer: new Placer(name, wanted, code),
      code,
      labels,
      alive: true,
      drained: !wanted.up,
      frozenUntil: 0,
      offMs: this.databaseAheadMs + draw.between(-15, 15),
      aheadMs: 0,
      loadsUntil: 0,
      tokens: new Map(),
      hasView: false,
    };
    this.nodes.set(name, node);
    this.excused.set(name, this.now);
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
      this.server.serve(COST.complete, () => this.server.schedule(pool, pool.shared));
    }
  }

  /** It goes on after that; where that is longer than the heartbeat timeout, others have its pools by then. */
  freeze(name: string, ms: number): void {
    const node = this.nodes.get(name)!;
    node.frozenUntil = this.now + ms;
    this.excused.set(name, node.frozenUntil + PLACEMENT.goneMs);
    this.lastDeathAt = this.now + ms;
    const mine = [...this.pools.values()].filter(({ on }) => on === node);
    // The server has ended the polls that were out by then; a node that goes on has new ones.
    this.events.in(LONG_POLL_MS, () => this.isFrozen(node) && this.server.forget(node));
    this.events.in(this.options.heartbeatTimeoutMs ?? 5_000, () => {
      if (this.isFrozen(node)) for (const pool of mine) if (pool.on === node) this.orphan(pool);
    });
  }

  /** An outage of PostgreSQL: no rows, no fences, no flush. */
  loseStore(ms: number): void {
    this.storeAwayUntil = this.now + ms;
    this.lastDeathAt = this.now + ms;
  }

  /** PostgreSQL is another one from now on, whose clock differs by so much. */
  failOver(aheadMs: number): void {
    this.databaseAheadMs += aheadMs;
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
    this.excused.set(name, this.now);
    node.placer.settings = { ...node.placer.settings, up: true };
    for (const other of this.nodes.values()) if (other.alive) this.attendOnce(other);
    this.poll(node);
  }

  set(name: string, settings: Partial<NodeSettings>): void {
    const node = this.nodes.get(name)!;
    node.placer.settings = { ...node.placer.settings, ...settings };
  }

  /** A pool that came a moment ago does not go back for asking. Throws where it does. */
  protected override given({ pool, came }: SimulatedPool, { name, placer }: SimulatedNode, to: string): void {
    const { up, places } = placer.settings;
    if (came?.from !== to || this.now - came.at >= PLACEMENT.newcomerMs) return;
    const isExcused = came.at < Math.max(this.excused.get(to) ?? 0, this.storeAwayUntil + PLACEMENT.goneMs);
    // It must: then whoever has most room gets it.
    if (isExcused || !up || placer.pools.size >= places) return;
    throw new Error(`${name} gives ${pool.id} back to ${to}, ${Math.round(this.now - came.at)} ms after it came`);
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
}
