/**
 * Placement as one node practises it: what it remembers between the rows, and what it does when something happens. The
 * worker owns one, and calls it
 *
 * - each second with the rows of all nodes (`observe`), and for the row that it writes itself (`row`);
 * - when a shift begins (`offered`): take the pool, or say whose it is;
 * - after each flush (`moves`): end these shifts, so that the pools go to these nodes. The flush also reads the fences
 *   of `awaited` pools (`taken`);
 * - when a shift has ended (`released`, `ended`).
 *
 * All times are of the node's clock, in epoch milliseconds, also those of the rows that it is given: that clock never
 * jumps, whatever becomes of the database's (`shift/clock.ts`). They are handed in, as is all randomness: a simulated
 * cluster lives through an hour in a second (`test/tracker/placement/simulated-cluster.ts`).
 */
import { Asker } from './asker';
import { PLACEMENT } from './constants';
import { Giver } from './giver';
import { NO_STATES, type KnownStates } from '../member/loading';
import { HandOvers } from './hand-overs';
import { KeptPools } from './kept';
import { Newcomers } from './newcomers';
import { isLeaving, newestRead } from './nodes';
import type { PlacementRow, WrittenRow } from './row';
import { surplus, type Budget } from './surplus';
import { mayTake, type Decision } from './take';
import { trackerOf, type Cluster, type Move, type NodeLoad, type PlacedPool } from './types';
import { liveRows, viewOf, type Taken } from './view';

/** The wishes of an operator for a node, and how well it does. May change at any time. */
export interface NodeSettings {
  /** The weight that was set, times health, times trust (`health.ts`). Above 0. */
  readonly weight: number;
  /** Pools at most; Infinity: no limit. */
  readonly places: number;
  /** Load units at most; Infinity: no limit. */
  readonly loadLimit: number;
  /**
   * The kinds of pool that it may keep (`kindOf`): trackers that it defines and is not drained for, where it has their
   * label.
   */
  readonly keeps: ReadonlySet<string>;
  /** false: drained. */
  readonly up: boolean;
  /** Its event loop is behind. */
  readonly hot: boolean;
  /** It cannot reach Temporal, which alone brings pools: it asks for none, and is given none. */
  readonly cutOff: boolean;
}

/** How a pool came: what its workflow says. */
export interface Arrival {
  /** How often it was handed on since it was last kept. */
  readonly hops: number;
  /** Since it was handed on for the first time, milliseconds; 0: it was not. */
  readonly waitedMs: number;
  /** The node that kept it last and gave it away; undefined: it was born, or its node died. */
  readonly from?: string;
  /** Temporal tries its shift again. @default false */
  readonly retried?: boolean;
}

export class Placer {
  private readonly kept = new KeptPools();
  private readonly handOvers = new HandOvers();
  private readonly newcomers = new Newcomers();
  private readonly asker: Asker;
  private readonly giver: Giver;
  private rows: ReadonlyMap<string, PlacementRow> = new Map();
  private tookShared: Taken[] = [];
  /** Nodes of which a pool came back without their word, and when: they may be dead or frozen. */
  private readonly suspects = new Map<string, number>();
  private observedAt = -Infinity;
  /** Neither gives nor asks before this: all rows may still be from before an outage. */
  private settledAt = Infinity;

  constructor(
    readonly name: string,
    public settings: NodeSettings,
    private readonly states: KnownStates = NO_STATES,
  ) {
    this.asker = new Asker(name);
    this.giver = new Giver(name);
  }

  get pools(): ReadonlyMap<string, PlacedPool> {
    return this.kept.pools;
  }

  /**
   * The rows as they were read just now. @returns whether the own row should be written at once, for it has a new ask
   */
  observe(rows: readonly PlacementRow[], nowMs: number): boolean {
    if (nowMs - this.observedAt > PLACEMENT.staleMs) this.settledAt = nowMs + this.settleMs();
    this.observedAt = nowMs;
    this.rows = new Map(rows.map((row) => [row.name, row]));
    for (const [name, since] of this.suspects)
      if ((this.rows.get(name)?.at ?? Infinity) > since) this.suspects.delete(name);
    this.tidy(nowMs);
    const live = this.live(nowMs);
    this.handOvers.tidy(live, nowMs);
    this.newcomers.tidy(live, nowMs);
    this.giver.read(live);
    if (this.isBlind(nowMs) || !this.settings.up || this.settings.cutOff) {
      this.asker.drop();
      return false;
    }
    return this.asker.step(this.view(nowMs), live, nowMs);
  }

  /**
   * Whether to ask the shared queues for pools now (`cold-start.ts` has a word in that as well): not before the first
   * rows, nor while it is drained or sees nothing. A poll that is out already may still bring one; that is offered.
   */
  opensSharedQueues(nowMs: number): boolean {
    return this.settings.up && nowMs - this.observedAt <= PLACEMENT.staleMs;
  }

  /** A pool of that node has come back, and it has not let it go: nothing is sent there until its row is newer. */
  suspect(node: string, nowMs: number): void {
    this.suspects.set(node, nowMs);
  }

  /** @param random in [0, 1) */
  offered(
    pool: PlacedPool,
    { hops, waitedMs, from, retried = false }: Arrival,
    nowMs: number,
    random: number,
  ): Decision {
    const cameBack = from === this.name || this.handOvers.has(pool.id);
    const jammed = this.handOvers.isJammed(nowMs);
    const asked = from !== undefined && this.asker.hasAsked(from, nowMs);
    const offer = { hops, waitedMs, cameBack, jammed, retried, asked };
    const decision = mayTake(this.view(nowMs, pool.id), pool, offer, random);
    if (decision.answer === 'take') this.take(pool, hops, from, nowMs);
    if (decision.answer === 'redirect') this.sent(pool, decision.to, nowMs);
    return decision;
  }

  /** A pool that was offered is sent on. */
  sent(pool: PlacedPool, to: string, nowMs: number): void {
    this.handOvers.begin(pool, to, nowMs);
    this.handOvers.released(pool.id, nowMs);
  }

  /** The members of a kept pool, or its operations, have changed. */
  resized(pool: PlacedPool): void {
    const known = this.pools.get(pool.id);
    if (known) this.kept.set(this.written(pool, known.states));
  }

  /** The moves to make now. Each of these counts as given: end its shift with the name of the node. */
  moves(nowMs: number): Move[] {
    const requests = this.giver.requests();
    if (this.isBlind(nowMs) || this.pools.size === 0 || (requests.length === 0 && !this.mustGive())) return [];
    const cluster = this.view(nowMs);
    const pools = [...this.pools.values()];
    const budget = this.budget(cluster, nowMs);
    const cameFrom = this.newcomers.now(nowMs);
    const { moves, nothingFor } = surplus(cluster, pools, requests, budget, cameFrom);
    for (const { pool, to } of moves) {
      this.kept.delete(pool.id);
      this.handOvers.begin(pool, to, nowMs);
      this.giver.gave(to, pool.size);
    }
    for (const asker of nothingFor) this.giver.nothing(asker, nowMs);
    return moves;
  }

  /** The shift of a pool that was given away has ended. */
  released(pool: string, nowMs: number): void {
    this.handOvers.released(pool, nowMs);
  }

  /** The shift of a pool has ended, and it was not given to anybody. */
  ended(pool: string): void {
    this.kept.delete(pool);
    this.handOvers.forget(pool);
  }

  /** Pools on their way: the next flush reads who has their fence. */
  awaited(): string[] {
    return this.handOvers.awaited();
  }

  /** The fence of a pool on its way has a new holder. */
  taken(pool: string, by: string, takenAtMs: number, nowMs: number): void {
    this.handOvers.taken(pool, by, takenAtMs, nowMs);
  }

  row(nowMs: number): WrittenRow {
    const { load, shifts, loads, largest, weight, places, loadLimit, keeps, up, hot } = this.self();
    return {
      name: this.name,
      load,
      shifts,
      loads: Object.fromEntries(loads),
      largest: largest ?? null,
      weight,
      places: places === Infinity ? null : places,
      loadLimit: loadLimit === Infinity ? null : loadLimit,
      keeps: [...keeps].sort(),
      up,
      hot,
      cutOff: this.settings.cutOff,
      out: this.handOvers.listed(nowMs).map(({ pool, to, size, kind, sentAt }) => ({ pool, to, size, kind, sentAt })),
      ask: this.asker.written(),
      wants: Object.fromEntries(this.asker.wants(this.rows)),
      done: this.giver.done(),
      ...this.states,
    };
  }

  /**
   * The cluster as this node sees it now, itself first.
   * @param offered a pool that is not on its way any more, for it is here, and is decided about
   */
  view(nowMs: number, offered?: string): Cluster {
    const knows = (pool: string): boolean => pool === offered || this.kept.has(pool) || this.handOvers.has(pool);
    const sent = this.handOvers.listed(nowMs);
    const own = { node: this.self(), knows, sent, tookShared: this.tookShared };
    const [self, ...others] = viewOf(own, [...this.rows.values()], nowMs);
    return [self, ...others.map((node) => (this.suspects.has(node.name) ? { ...node, stale: true } : node))];
  }

  private take(pool: PlacedPool, hops: number, from: string | undefined, nowMs: number): void {
    this.kept.set(this.written(pool));
    this.handOvers.forget(pool.id);
    // By the shared queue: what stays with its node, or was given to it, comes by the node's own.
    if (hops === 0 && from === undefined) this.tookShared.push({ at: nowMs, kind: pool.kind, size: pool.size });
    if (from === undefined) return;
    this.asker.arrived(pool.id, pool.size, from, nowMs);
    this.newcomers.came(pool.id, from, nowMs);
  }

  /** The pool with the states that it may have here: those that it came with, and those that this code writes. */
  private written(pool: PlacedPool, known = 0): PlacedPool {
    const writes = newestRead(this.states.writes, trackerOf(pool.kind)) ?? 0;
    const states = Math.max(pool.states ?? 0, known, writes);
    return states > 0 ? { ...pool, states } : pool;
  }

  private self(): NodeLoad {
    const wants = this.asker.wants(this.rows);
    let coming = 0;
    for (const wanted of wants.values()) coming += wanted;
    return {
      ...this.settings,
      name: this.name,
      ...this.states,
      ...this.kept.totals(),
      shifts: this.pools.size,
      stale: false,
      coming,
      wants,
    };
  }

  private mustGive(): boolean {
    const { up, keeps, places } = this.settings;
    const { loads } = this.kept.totals();
    return !up || this.pools.size > places || [...loads.keys()].some((kind) => !keeps.has(kind));
  }

  private budget(cluster: Cluster, nowMs: number): Budget {
    const part = Math.max(this.giver.part(this.live(nowMs)), partOfWhatMust(cluster));
    const inFlight = this.handOvers.inFlight(nowMs);
    return {
      pools: Math.max(1, Math.round(PLACEMENT.poolsInFlight * part)) - inFlight.pools,
      members: PLACEMENT.membersInFlight - inFlight.members,
    };
  }

  private live(nowMs: number): Map<string, PlacementRow> {
    return new Map(liveRows([...this.rows.values()], this.name, nowMs).map((row) => [row.name, row]));
  }

  /** Its picture of the others is old, or was a moment ago. It keeps what it has. */
  private isBlind(nowMs: number): boolean {
    return nowMs - this.observedAt > PLACEMENT.staleMs || nowMs < this.settledAt;
  }

  /** At a start all rows are as new as they ever are. */
  private settleMs(): number {
    return this.observedAt === -Infinity ? 0 : PLACEMENT.settleMs;
  }

  private tidy(nowMs: number): void {
    this.tookShared = this.tookShared.filter(({ at }) => nowMs - at < PLACEMENT.goneMs);
  }
}

/** This node's part of all load that must leave its node. */
function partOfWhatMust(cluster: Cluster): number {
  const [mine, ...others] = cluster.map((node) => {
    let load = 0;
    for (const [kind, part] of node.loads) if (isLeaving(node, kind)) load += part;
    const over = Math.max(0, node.shifts - node.places);
    return load + (over > 0 ? (node.load / node.shifts) * over : 0);
  });
  const all = others.reduce((sum, load) => sum + load, mine!);
  return all > 0 ? mine! / all : 0;
}
