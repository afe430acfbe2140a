/**
 * The cluster as one node sees it: the rows that all nodes write each second, and what must have happened since. A row
 * is up to a second old when it is read, and up to two when it is used; without the corrections here every node would
 * send its pools to the same newcomer.
 *
 * Ages are by the database's clock only: it dates a row (`at`), and the node that looks tells its own time by it
 * (`shift/clock.ts` does). So it does no harm that the clocks of machines differ. A row of the future is as old as one
 * of the past: after a failover to a database whose clock is behind, a node that is gone has left one.
 */
import { PLACEMENT } from './constants';
import type { HandOver, PlacementRow } from './row';
import type { Cluster, NodeLoad } from './types';

/** The things that a node knows exactly: of itself, and of what it did since the rows were written. */
export interface OwnView {
  /** Without what is on its way to it. */
  readonly node: NodeLoad;
  /**
   * Is this pool kept here, or was it sent on from here a moment ago? Then it is not on its way to this node any more.
   */
  readonly knows: (pool: string) => boolean;
  /** The pools that it has sent to others; `takenAt` as soon as the fence showed that it was taken. */
  readonly sent: readonly (HandOver & { readonly takenAt?: number })[];
  /** The pools that it has taken from shared queues a short while ago. */
  readonly tookShared: readonly Taken[];
}

export interface Taken {
  readonly at: number;
  readonly kind: string;
  readonly size: number;
}

/** @param nowMs by the same clock as the times of the rows */
export function viewOf(own: OwnView, rows: readonly PlacementRow[], nowMs: number): Cluster {
  const peers = liveRows(rows, own.node.name, nowMs);
  return [withArrivals(own, peers, nowMs), ...peers.map((row) => estimate(row, peers, own, nowMs))];
}

/** The rows of the others that live. */
export function liveRows(rows: readonly PlacementRow[], self: string, nowMs: number): PlacementRow[] {
  return rows.filter((row) => row.name !== self && ageOf(row, nowMs) < PLACEMENT.goneMs);
}

function ageOf({ at }: PlacementRow, nowMs: number): number {
  return Math.abs(nowMs - at);
}

/** This node, with what others have sent to it and has not come yet. */
function withArrivals({ node, knows }: OwnView, peers: readonly PlacementRow[], nowMs: number): NodeLoad {
  const draft = new Draft(node);
  for (const { out } of peers) {
    for (const sent of out) {
      if (sent.to !== node.name || nowMs - sent.sentAt >= PLACEMENT.handOverMs || knows(sent.pool)) continue;
      draft.add(sent.kind, sent.size, 1);
    }
  }
  return draft.done();
}

/** A peer: its row, and what has come to it since. */
function estimate(row: PlacementRow, peers: readonly PlacementRow[], own: OwnView, nowMs: number): NodeLoad {
  const draft = new Draft(nodeOf(row, nowMs));
  for (const sent of own.sent) {
    if (sent.to === row.name && (sent.takenAt ?? Infinity) > row.at) draft.add(sent.kind, sent.size, 1);
  }
  for (const { out } of peers) {
    for (const sent of out) {
      if (sent.to === row.name && sent.sentAt > row.at - PLACEMENT.clockErrorMs) draft.add(sent.kind, sent.size, 1);
    }
  }
  // A shared queue deals to all: what came here since then came there as well. Without this, survivors of a killed node
  // redirect 29 to 85 of its pools to each other (simulated).
  if (row.up && ageOf(row, nowMs) < PLACEMENT.staleMs) {
    const keeps = new Set(row.keeps);
    const ratio = row.weight / own.node.weight;
    for (const { at, kind, size } of own.tookShared) {
      if (at > row.at && keeps.has(kind)) draft.add(kind, size * ratio, ratio);
    }
  }
  return draft.done();
}

/** A node as its row says it is, without what is on its way to it. */
export function nodeOf(row: PlacementRow, nowMs: number): NodeLoad {
  const wants = new Map(Object.entries(row.wants));
  let coming = 0;
  for (const load of wants.values()) coming += load;
  return {
    name: row.name,
    load: row.load,
    shifts: row.shifts,
    loads: new Map(Object.entries(row.loads)),
    largest: row.largest ?? undefined,
    weight: row.weight,
    places: row.places ?? Infinity,
    loadLimit: row.loadLimit ?? Infinity,
    keeps: new Set(row.keeps),
    reads: row.reads,
    writes: row.writes,
    up: row.up,
    stale: row.cutOff || ageOf(row, nowMs) >= PLACEMENT.staleMs,
    hot: row.hot,
    coming,
    wants,
  };
}

/** A node to which load is added. */
class Draft {
  private load: number;
  private shifts: number;
  private readonly loads: Map<string, number>;

  constructor(private readonly node: NodeLoad) {
    this.load = node.load;
    this.shifts = node.shifts;
    this.loads = new Map(node.loads);
  }

  add(kind: string, size: number, shifts: number): void {
    this.load += size;
    this.shifts += shifts;
    this.loads.set(kind, (this.loads.get(kind) ?? 0) + size);
  }

  done(): NodeLoad {
    return { ...this.node, load: this.load, shifts: this.shifts, loads: this.loads };
  }
}
