/**
 * Several real nodes in one process on the real PostgreSQL, and in Temporal's place a loop for each pool that starts
 * one shift after the other, on the queue that the last one named.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Database, OWN_LIMITS } from '../../activities/lib/database';
import { isDoneWithin } from '../../activities/lib/sleep';
import type { TemporalLink } from '../../activities/lib/temporal';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { keepPool } from '../../activities/tracker/shift/keep';
import { Node } from '../../activities/tracker/shift/node';
import { claimNode, type Incarnation } from '../../activities/tracker/store/nodes';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import { defineTracker, type TrackerDefinition } from '../../exports';
import type { ShiftInput, ShiftResult } from '../../workflows/tracker/contract';
import type { Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });

export const trackerOf = (name: string, over: Partial<TrackerDefinition> = {}): TrackerDefinition => ({
  ...defineTracker({ name, operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }),
  ...over,
});

export interface Ended {
  pool: number;
  node: string;
  end: string;
  to?: string;
}

interface Way {
  to?: string;
  hops?: number;
  from?: string;
}

export class Nodes {
  readonly nodes = new Map<string, Node>();
  readonly metrics = new Map<string, NodeMetrics>();
  readonly databases = new Map<Node, Database>();
  /** All shifts that have ended, in order. */
  readonly ended: Ended[] = [];
  /** The errors of those that failed, and how many other nodes theirs knew to be there then. */
  readonly failed: { node: string; type: unknown; nextRetryDelay: unknown; peers: number }[] = [];
  private readonly closing: (() => Promise<void>)[] = [];
  private readonly driving: Promise<void>[] = [];
  private closed = false;
  private turn = 0;
  private shifts = 0;

  /** Milliseconds. */
  shiftMs = 600_000;
  /** The node that an operator wants the next shifts on. */
  wanted: string | undefined;

  constructor(
    private readonly stack: Stack,
    private readonly tracker: TrackerDefinition,
  ) {}

  /** Each pool has as many members in its row as the list says. */
  async open(members: readonly number[]): Promise<void> {
    await this.stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, $3)', [
      this.tracker.name,
      JSON.stringify(rowOf(this.tracker).options),
      members.length,
    ]);
    await this.stack.sql(
      `insert into longwatch.pool (tracker, pool, members)
       select $1, place - 1, members from unnest($2::int[]) with ordinality as p (members, place)`,
      [this.tracker.name, members],
    );
    for (const pool of members.keys()) this.driving.push(this.drive(pool));
  }

  /** Temporal cannot be reached. */
  isTemporalAway = false;

  async add(name: string, { trackers = [this.tracker], labels = [] as string[] } = {}): Promise<Node> {
    const database = new Database({ url: this.stack.servers.databaseUrl, log, ...OWN_LIMITS });
    const row = { name, host: 'h', pid: 1, metricsUrl: null, labels };
    const incarnation: Incarnation = await database.transaction((db) => claimNode(db, row));
    const metrics = new NodeMetrics();
    const node = new Node({
      row,
      database,
      presence: { incarnation: () => incarnation, temporalRefusedMs: () => (this.isTemporalAway ? 1 : undefined) },
      trackers,
      log,
      metrics,
      isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
      watchdog: undefined,
      nodeConcurrency: 100,
    });
    await node.start();
    this.nodes.set(name, node);
    this.metrics.set(name, metrics);
    this.databases.set(node, database);
    this.closing.push(async () => {
      await node.stop();
      await database.close();
    });
    return node;
  }

  /** The pools that each node keeps. */
  kept(): Record<string, number> {
    return Object.fromEntries([...this.nodes].map(([name, { shifts }]) => [name, shifts.size]));
  }

  want(name: string, columns: string): Promise<unknown> {
    return this.stack.sql(`update longwatch.node set ${columns} where name = $1`, [name]);
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const node of this.nodes.values()) node.drain();
    // As a worker does: shifts end before the node's parts do. A pool that is being taken has no shift yet.
    const driven = Promise.allSettled(this.driving);
    while (!(await isDoneWithin(50, driven)))
      for (const node of this.nodes.values()) for (const shift of node.shifts) shift.end('handed back');
    await Promise.all(this.driving);
    for (const close of this.closing.reverse()) await close();
    for (const table of ['pool', 'tracker', 'node']) await this.stack.sql(`delete from longwatch.${table}`);
  }

  private async drive(pool: number): Promise<void> {
    let way: Way = {};
    let attempt = 1;
    while (!this.closed) {
      const node = this.nodeFor(way);
      if (!node) {
        await delay(way.to === undefined ? 10 : 100);
        way = {};
        continue;
      }
      const before = peersOf(node);
      try {
        const result = await this.shift(node, pool, attempt, way);
        this.ended.push({
          pool,
          node: result.node,
          end: result.end,
          ...(result.to !== undefined && { to: result.to }),
        });
        way = this.wanted === undefined ? wayAfter(way, result) : { to: this.wanted, hops: 2, from: result.node };
        attempt = 1;
      } catch (error) {
        const { type, nextRetryDelay } = error as { type?: unknown; nextRetryDelay?: unknown };
        this.failed.push({ node: node.row.name, type, nextRetryDelay, peers: Math.min(before, peersOf(node)) });
        await delay(20);
        way = {};
        attempt++;
      }
    }
  }

  private nodeFor({ to }: Way): Node | undefined {
    const own = to === undefined ? undefined : this.nodes.get(to);
    if (to !== undefined) return own?.opens.own ? own : undefined;
    const open = [...this.nodes.values()].filter(({ opens }) => opens.shared);
    return open[this.turn++ % Math.max(1, open.length)];
  }

  private shift(node: Node, pool: number, attempt: number, { hops, from }: Way): Promise<ShiftResult> {
    const environment = new MockActivityEnvironment({
      attempt,
      heartbeatTimeoutMs: 5_000,
      workflowExecution: { workflowId: `pool/${this.tracker.name}/${pool}`, runId: 'run' },
    });
    const temporal = { reachable: () => Promise.resolve(true), isCurrent: () => Promise.resolve(true) };
    const deps = { node, database: this.databases.get(node)!, temporal: temporal as unknown as TemporalLink, log };
    const input: ShiftInput = {
      tracker: this.tracker.name,
      pool,
      shift: ++this.shifts,
      durationMs: this.shiftMs,
      hops,
      from,
    };
    return environment.run<[ShiftInput], ShiftResult, (input: ShiftInput) => Promise<ShiftResult>>(
      (given) => keepPool(deps, given),
      input,
    );
  }
}

/** A machine that stood still is one on which no node has heard of another one for a while. */
const peersOf = ({ clock, placing, row }: Node): number =>
  placing.placer.view(clock.now()).filter(({ name, up, stale }) => name !== row.name && up && !stale).length;

/** As `workflows/tracker/plan.ts` has it. */
function wayAfter(before: Way, { end, to, node }: ShiftResult): Way {
  if (to === undefined) return {};
  if (end === 'redirected') return { ...before, to, hops: (before.hops ?? 0) + 1 };
  return to === node ? { to, from: node } : { to, hops: 1, from: node };
}
