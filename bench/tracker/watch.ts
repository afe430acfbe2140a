/**
 * A tracker that is being measured: its servers, its workers as processes, its members, and what is read of it. Used by
 * the tracker's scenarios (`track`, `round`, `late`, …).
 */
import path from 'node:path';
import { resolveConfig } from '../../exports';
import { LATE_BOUNDS_MS } from '../../activities/tracker/shift/lateness';
import type { TrackerHandle } from '../../client/tracker/handle';
import type { Stack, WorkerProcess } from '../../test/support/stack';
import type { Bench } from '../harness/bench';
import type { WatchSetup } from './watch.config';

const CONFIG = path.join(__dirname, 'watch.config.ts');

/** As `bin/longwatch.js` starts a worker: its environment, its flags. */
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };
const NODE_FLAGS = ['--max-semi-space-size=8'];

/** The rows that the worker had written at a moment, by its own count. */
export interface Written {
  rows: number;
  /** Database time, seconds. */
  at: number;
}

export class Watch {
  readonly workers: WorkerProcess[] = [];
  /** When its tracker was started; `performance.now()`. */
  startedAt = 0;

  private constructor(
    private readonly bench: Bench,
    private readonly setup: WatchSetup,
    readonly stack: Stack,
    readonly tracker: TrackerHandle,
  ) {}

  /** Servers and one worker; the tracker is started and has no members yet. */
  static async start(bench: Bench, setup: WatchSetup, nodeFlags: readonly string[] = []): Promise<Watch> {
    return Watch.on(bench, setup, await bench.stack(), { nodeFlags });
  }

  /** The same on servers that are there, perhaps with members, and with as many workers as one likes. */
  static async on(
    bench: Bench,
    setup: WatchSetup,
    stack: Stack,
    { nodeFlags = [], nodes = 1 }: { nodeFlags?: readonly string[]; nodes?: number } = {},
  ): Promise<Watch> {
    const watch = new Watch(bench, setup, stack, (await stack.connect()).tracker('bench'));
    for (let i = 0; i < nodes; i++) await watch.worker(nodeFlags);
    const run = () => ({ value: null });
    const definition = { name: 'bench', ...setup.tracker, operations: { look: { ...setup.operation, run } } };
    watch.startedAt = performance.now();
    await watch.tracker.start(resolveConfig({ trackers: [definition] }).trackers[0]!.options);
    return watch;
  }

  /** Another worker process; resolves when it works. */
  async worker(nodeFlags: readonly string[] = []): Promise<WorkerProcess> {
    const env = { ...MALLOC, BENCH_WATCH: JSON.stringify(this.setup) };
    const worker = this.stack.workerProcess(CONFIG, env, [...NODE_FLAGS, ...nodeFlags]);
    await worker.ready;
    this.workers.push(worker);
    return worker;
  }

  /** Adds members `1` to `count` and waits until each has been fetched. */
  async fill(count: number): Promise<void> {
    this.bench.say(`adding ${count.toLocaleString('en-US')} ids`);
    await this.tracker.add(numbered(count), { wait: true });
    await this.bench.until(`all ${count} ids are fetched`, async () => (await this.fetchedMembers()) >= count, 120_000);
  }

  /** Ends its workers and servers now, for scenarios that start another one. */
  async stop(): Promise<void> {
    await this.stack.close();
  }

  /** Resolves to whether shifts have loaded so many members: each is in some node's memory. */
  async ownedMembers(count: number): Promise<boolean> {
    const owned = await Promise.all(this.workers.map(async (worker) => keptMembers(await worker.metrics())));
    return owned.reduce((sum, members) => sum + members, 0) >= count;
  }

  /** Ids of all members that a node keeps now. */
  async membersOf(node: string): Promise<string[]> {
    const rows = await this.stack.sql<{ id: string }>(
      `select m.id from longwatch.member m join longwatch.tracker t on t.name = m.tracker
         join longwatch.pool p on p.tracker = m.tracker and p.pool = longwatch.pool_of(m.hash, t.pools)
       where p.node = $1 and p.released_at is null and m.removed_at is null`,
      [node],
    );
    return rows.map(({ id }) => id);
  }

  /** The memory of the first worker, after a collection (it must have been started with `--expose-gc`). */
  memory(): Promise<NodeJS.MemoryUsage> {
    return this.workers[0]!.memory();
  }

  async fetchedMembers(): Promise<number> {
    const [row] = await this.stack.sql<{ n: number }>(
      'select count(*)::int as n from longwatch.value where fetched_at is not null',
    );
    return row!.n;
  }

  /**
   * Results written per second over some seconds. Between two of the worker's own notes, each of which says exactly how
   * much it had written when.
   */
  async rate(seconds: number): Promise<number> {
    const before = await this.nextWritten(0);
    await this.bench.sleep(seconds * 1_000);
    const after = await this.nextWritten(before.at);
    return (after.rows - before.rows) / (after.at - before.at);
  }

  /** The worker's first note after a moment. */
  async nextWritten(after: number): Promise<Written> {
    let found: Written | undefined;
    await this.bench.until('the worker notes what it has done', async () => {
      const [row] = await this.stack.sql<{ rows: number | null; at: number | null }>(
        `select sum(fetched)::float8 as rows, extract(epoch from max(seen_at))::float8 as at from longwatch.node_stats`,
      );
      if (row?.at == null || row.at <= after) return false;
      found = { rows: row.rows!, at: row.at };
      return true;
    });
    return found!;
  }

  /** Runs by how late they began, over all workers since each was started, in the buckets of `LATE_BOUNDS_MS`. */
  async lateness(): Promise<number[]> {
    const rows = await this.stack.sql<{ late_buckets: string[] }>('select late_buckets from longwatch.node_stats');
    const sums = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
    for (const { late_buckets: buckets } of rows) buckets.forEach((count, i) => (sums[i]! += Number(count)));
    return sums;
  }
}

export function numbered(count: number, prefix = ''): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
}

/** The sum of `longwatch_pool_members` on a metrics page. */
function keptMembers(page: string): number {
  return [...page.matchAll(/^longwatch_pool_members\{.*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}
