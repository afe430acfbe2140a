/**
 * One node from outside: drain it, resume it, give it a target or a weight, and wait until it keeps nothing. Got from
 * `Longwatch.node`; used by `longwatch node …`. The wish is written into its row, which the database announces;
 * the nodes carry it out (`activities/tracker/placement`).
 */
import { run } from '../../activities/lib/database';
import { sleep } from '../../activities/lib/sleep';
import type { Duration } from '../../config/define/types';
import { didYouMean } from '../../config/suggest';
import { formatDuration, parseDuration } from '../../config/values';
import { unstorable } from '../../workflows/lib/text';
import { recorded, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { RefusedError, TimedOutError, UnknownNodeError, UnknownTrackerError } from '../errors';
import { TRACKER_NAMES } from '../tracker/queries';
import { isDrainedFor, readNodes, type ClusterReport, type NodeReport } from './nodes';
import { KEPT, NODE_NAMES, WISH, WISHES } from './queries';
import { whyKept } from './why-kept';
import {
  auditedWishes,
  checkDrainTime,
  checkTarget,
  checkWeight,
  drained,
  resumed,
  sameWishes,
  shownWishes,
  wishesOf,
  type ShownWishes,
  type Wishes,
  type WishRow,
} from './wishes';

const LOOK_MS = 250;
/** The reason is looked for when no pool has left for so long. */
const SAY_WHY_MS = 3_000;
/** Pools that leave take tens of milliseconds each; where none has left for so long, something holds them. */
const STUCK_MS = 60_000;

export interface DrainOptions extends CommandOptions {
  /** Only its pools of this tracker. */
  tracker?: string;
  /** Then it is resumed by itself. @default until `resume` */
  for?: Duration;
}

export interface WishResult extends ShownWishes {
  node: string;
  /** False: that was wanted of it already. */
  changed: boolean;
  /** Its process has ended: the next one of this name finds the wish. */
  ended: boolean;
}

export interface DrainProgress {
  /** Pools that it still keeps. */
  left: number;
  /** Why none has left for some seconds. */
  why?: string;
}

export interface AwaitDrainedOptions {
  tracker?: string;
  /** Gives up waiting; the drain stays as it is. */
  signal?: AbortSignal;
  onProgress?: (progress: DrainProgress) => void;
  /** Gives up where no pool has left it for so long. @default 1m */
  patience?: Duration;
}

export class NodeHandle {
  constructor(
    readonly name: string,
    private readonly connections: Connections,
  ) {}

  /**
   * It gives away what it keeps and takes nothing, of all trackers or of one. @throws UnknownNodeError;
   * UnknownTrackerError; RefusedError for a time that cannot be
   */
  async drain({ tracker, for: time, why }: DrainOptions = {}): Promise<WishResult> {
    const forMs = time === undefined ? undefined : millisecondsOf(time);
    checkDrainTime(forMs);
    if (tracker !== undefined) await this.requireTracker(tracker);
    return this.wish('node drain', why, (is, now) => drained(is, tracker, forMs === undefined ? null : now + forMs));
  }

  /** It may keep pools again: of all trackers, or of one that it was drained for. */
  resume({ tracker, why }: { tracker?: string } & CommandOptions = {}): Promise<WishResult> {
    return this.wish('node resume', why, (is) => resumed(is, tracker));
  }

  /** @param pools at most; null: its share */
  async target(pools: number | null, { why }: CommandOptions = {}): Promise<WishResult> {
    checkTarget(pools);
    return this.wish('node target', why, (is) => ({ ...is, target: pools }));
  }

  /** Its part of the load against the other nodes, 1 by default. */
  async weight(weight: number, { why }: CommandOptions = {}): Promise<WishResult> {
    checkWeight(weight);
    return this.wish('node weight', why, (is) => ({ ...is, weight }));
  }

  /** Its row of `Longwatch.nodes`. @throws UnknownNodeError */
  async report(): Promise<NodeReport> {
    return (await this.seen()).node;
  }

  /**
   * Resolves when it keeps nothing (of the tracker).
   * @throws RefusedError when it is not drained, or not any more; TimedOutError where no pool leaves it: it has the
   *   reason
   */
  async awaitDrained(options: AwaitDrainedOptions = {}): Promise<void> {
    const patience = options.patience === undefined ? STUCK_MS : millisecondsOf(options.patience);
    let least = Infinity;
    let since = performance.now();
    for (let quiet = 0; quiet < 2; await sleep(LOOK_MS)) {
      options.signal?.throwIfAborted();
      const [{ node, cluster }, left] = await Promise.all([this.seen(), this.kept(options.tracker)]);
      this.refuseIfNotDrained(node, options.tracker);
      // Between two shifts a pool is nobody's for a moment, and comes back where the wish has not been heard yet.
      quiet = left === 0 ? quiet + 1 : 0;
      if (left < least) {
        least = left;
        since = performance.now();
      }
      const still = performance.now() - since;
      const why = whyKept(node, cluster, options.tracker);
      options.onProgress?.({ left, why: left > 0 && still > SAY_WHY_MS ? why : undefined });
      if (left > 0 && still > patience) {
        const pools = `${left} pool${left === 1 ? '' : 's'}`;
        throw new TimedOutError(
          `node '${this.name}' still keeps ${pools}, and none has left it for ${formatDuration(patience)}: ${why}; it stays drained`,
        );
      }
    }
  }

  private async seen(): Promise<{ node: NodeReport; cluster: ClusterReport }> {
    const cluster = await readNodes(this.connections);
    const node = cluster.nodes.find(({ name }) => name === this.name);
    if (!node) throw await this.unknown();
    return { node, cluster };
  }

  private async kept(tracker: string | undefined): Promise<number> {
    const [row] = await this.connections.rows<{ pools: number }>(KEPT, [this.name, tracker ?? null]);
    return row!.pools;
  }

  private refuseIfNotDrained(report: NodeReport, tracker: string | undefined): void {
    if (report.drained || (tracker !== undefined && isDrainedFor(report, tracker))) return;
    const what = tracker === undefined ? '' : ` for ${tracker}`;
    throw new RefusedError(
      `node '${this.name}' is not drained${what} (any more): its time is over, or somebody has resumed it (npx longwatch audit --subject node/${this.name})`,
    );
  }

  /** Reads, decides and writes under the lock of its row, together with the row of the audit. */
  private wish(
    what: string,
    why: string | undefined,
    decide: (is: Wishes, now: number) => Wishes,
  ): Promise<WishResult> {
    return recorded(this.connections, { what, subject: `node/${this.name}`, why }, async (db) => {
      // Nothing has a name that PostgreSQL does not take: null is nobody's.
      const [row] = await run<WishRow>(db, WISHES, [unstorable(this.name) === undefined ? this.name : null]);
      if (!row) throw await this.unknown();
      const is = wishesOf(row);
      const wanted = decide(is, row.now);
      const changed = !sameWishes(is, wanted);
      if (changed) {
        await run(db, WISH, [
          this.name,
          wanted.drained,
          wanted.drainedFor.map((drain) => drain.tracker),
          wanted.drainedUntil,
          wanted.target,
          !is.drained,
          wanted.weight,
          wanted.drainedFor.map((drain) => drain.until),
        ]);
      }
      const [was, shown] = [shownWishes(is), shownWishes(wanted)];
      const [before, after] = [auditedWishes(was, shown), auditedWishes(shown, was)];
      return { result: { node: this.name, changed, ...shown, ended: row.ended }, before, after, changed };
    });
  }

  private async requireTracker(tracker: string): Promise<void> {
    const names = (await this.connections.rows<{ name: string }>(TRACKER_NAMES)).map((row) => row.name);
    if (!names.includes(tracker)) throw new UnknownTrackerError(tracker, didYouMean(tracker, names), names);
  }

  private async unknown(): Promise<UnknownNodeError> {
    const names = (await this.connections.rows<{ name: string }>(NODE_NAMES)).map((row) => row.name);
    return new UnknownNodeError(this.name, didYouMean(this.name, names), names);
  }
}

/** @throws RefusedError */
function millisecondsOf(duration: Duration): number {
  const ms = typeof duration === 'number' ? duration : parseDuration(duration);
  if (ms === undefined || !Number.isFinite(ms)) {
    throw new RefusedError(`'${duration}' is not a time; write 30s, 10m, 2h, or a number of milliseconds`);
  }
  return ms;
}
