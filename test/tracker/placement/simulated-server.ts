/**
 * The Temporal server of the simulated cluster, which does one thing at a time, and what it knows of: pools, whose
 * shifts are its tasks, and nodes, which poll its queues. Used by `simulated-cluster.ts`.
 */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import type { KnownStates } from '../../../activities/tracker/member/loading';
import type { Placer } from '../../../activities/tracker/placement/placer';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import type { Draws } from '../../support/draws';
import type { EventQueue } from './event-queue';

/** Milliseconds of the server. */
export const COST = { schedule: 6, dispatch: 3, complete: 2, fail: 3, timeOut: 2 };
/** Polls of a node for a queue. */
const POLLS = 2;
/** The server ends a poll to which nothing came after so long (`matching.longPollExpirationInterval`). Milliseconds. */
export const LONG_POLL_MS = 2_000;

/** A pool and its workflow: where it is on its way around. */
export interface SimulatedPool {
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
  /** Temporal tries its shift again. */
  retried: boolean;
  tries: number;
  /** The node that gave it to the one that has it, and when it came. */
  came?: { from: string; at: number };
  /** The newest version of a state of its members, 0: none has any. */
  states: number;
}

export interface SimulatedNode {
  readonly name: string;
  readonly placer: Placer;
  readonly code: KnownStates;
  readonly labels: readonly string[];
  alive: boolean;
  drained: boolean;
  /**
   * Until then nothing happens in it: its connections stay open, it beats no more, and its polls swallow what comes.
   */
  frozenUntil: number;
  /** Its clock differs by this from the database's as it was first read, and the one that is there now by that. */
  readonly offMs: number;
  aheadMs: number;
  loadsUntil: number;
  tokens: Map<string, number>;
  hasView: boolean;
}

interface Task {
  readonly pool: SimulatedPool;
  gone: boolean;
}

class Queue {
  tasks: Task[] = [];
  polls: SimulatedNode[] = [];
}

/** Told by the server. */
export interface ServerHost {
  /** A node's poll has got this pool. */
  dispatched(pool: SimulatedPool, node: SimulatedNode, queue: string): void;
  /** Nobody took it from a node's own queue in time. */
  fellBack(): void;
}

export class SimulatedServer {
  private readonly queues = new Map<string, Queue>();
  private freeAt = 0;

  constructor(
    private readonly events: EventQueue,
    private readonly draw: Draws,
    private readonly told: ServerHost,
  ) {}

  /** The server does one thing after the other. */
  serve(costMs: number, then: () => void): void {
    this.freeAt = Math.max(this.events.now, this.freeAt) + costMs;
    this.events.in(this.freeAt - this.events.now, then);
  }

  schedule(pool: SimulatedPool, queue: string): void {
    this.serve(COST.schedule, () => this.enqueue(pool, queue));
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name);
    if (!queue) this.queues.set(name, (queue = new Queue()));
    return queue;
  }

  enqueue(pool: SimulatedPool, name: string): void {
    const queue = this.queue(name);
    const task: Task = { pool, gone: false };
    queue.tasks.push(task);
    if (name !== pool.shared) {
      this.events.in(PLACEMENT.ownQueueMs, () => {
        if (task.gone) return;
        task.gone = true;
        this.told.fellBack();
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
      const at = this.draw.whole(0, queue.polls.length - 1);
      const [node] = queue.polls.splice(at, 1) as [SimulatedNode];
      const { pool } = task;
      pool.on = node;
      pool.viaShared = name === pool.shared;
      this.serve(COST.dispatch, () => this.told.dispatched(pool, node, name));
    }
  }

  /** The node polls this queue, with as many polls as it may have. */
  poll(node: SimulatedNode, name: string): void {
    const queue = this.queue(name);
    const open = queue.polls.filter((poll) => poll === node).length;
    for (let more = open; more < POLLS; more++) queue.polls.push(node);
    this.match(name);
  }

  /** The connections of a node close. */
  forget(node: SimulatedNode): void {
    for (const queue of this.queues.values()) queue.polls = queue.polls.filter((poll) => poll !== node);
  }
}
