/**
 * The memory monitor of a node: above 80 % of the heap limit it asks the shards that keep most here to shrink, one a look, until 70 %
 * is reached or all are at their minimum; below that they may grow again. The shards tell their sizes by a sink
 * (`workflows/buffer/shard.ts`) and hear of it by a signal, which moves what they hold to PostgreSQL. Made by `workers/worker.ts`.
 */
import { getHeapStatistics } from 'node:v8';
import type { Worker as Thread } from 'node:worker_threads';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { ShardSinks } from '../../workflows/buffer/contract';
import { errorOf } from '../failures';

export type ShardSize = Parameters<ShardSinks['buffers']['size']>[0];

const SHRINK_ABOVE = 0.8;
const GROW_BELOW = 0.7;
const LOOK_MS = 500;
/** Looks below the mark before the next shard may grow: what was freed must be seen to stay free. */
const CALM_LOOKS = 10;

export interface MemoryMonitorOptions {
  /** Share of the heap limit that is in use: that of the fullest heap of the process. */
  use: () => number;
  tell: (buffer: string, shard: number, wish: 'shrink' | 'grow') => Promise<void>;
  log: Logger;
  registry?: Registry;
}

export class MemoryMonitor {
  private readonly shards = new Map<string, ShardSize>();
  private readonly shrunk = new Map<string, ShardSize>();
  private timer: NodeJS.Timeout | undefined;
  private calm = 0;
  private warned = false;

  constructor(private readonly options: MemoryMonitorOptions) {
    const { registry, use } = options;
    if (!registry) return;
    const shrunk = this.shrunk;
    new Gauge({
      name: 'longwatch_heap_use',
      help: 'Share of the heap limit in use, of the fullest heap of the process',
      registers: [registry],
      collect() {
        this.set(use());
      },
    });
    new Gauge({
      name: 'longwatch_buffer_shards_shrunk',
      help: 'Shards that this node has asked to keep little in memory',
      registers: [registry],
      collect() {
        this.set(shrunk.size);
      },
    });
  }

  start(): void {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** A shard whose workflow is on this node says what it keeps. */
  note(size: ShardSize): void {
    this.shards.set(`${size.buffer}/${size.shard}`, size);
  }

  /** One look; asks at most one shard. */
  async look(): Promise<void> {
    const use = this.options.use();
    if (use > SHRINK_ABOVE) {
      this.calm = 0;
      const largest = [...this.shards.values()]
        .filter((size) => !this.shrunk.has(`${size.buffer}/${size.shard}`) && !size.atMinimum)
        .sort((a, b) => b.bytes - a.bytes)[0];
      if (largest) await this.tell(largest, 'shrink', use);
      else if (!this.warned) {
        this.warned = true;
        this.options.log.warn({ use }, 'memory is short and every shard is at its minimum');
      }
    } else if (use < GROW_BELOW) {
      this.warned = false;
      if (this.shrunk.size === 0 || ++this.calm < CALM_LOOKS) return;
      this.calm = 0;
      await this.tell([...this.shrunk.values()].at(-1)!, 'grow', use);
    }
  }

  private async tell(size: ShardSize, wish: 'shrink' | 'grow', use: number): Promise<void> {
    const { buffer, shard, bytes } = size;
    const id = `${buffer}/${shard}`;
    if (wish === 'shrink') this.shrunk.set(id, size);
    else this.shrunk.delete(id);
    const what = wish === 'shrink' ? 'memory is short: a shard is asked to shrink' : 'a shard may grow again';
    this.options.log.warn({ buffer, shard, bytes, use: Math.round(use * 100) / 100 }, what);
    try {
      await this.options.tell(buffer, shard, wish);
    } catch (thrown) {
      if (wish === 'shrink') this.shrunk.delete(id);
      this.options.log.debug({ err: errorOf(thrown), buffer, shard }, 'the shard could not be told');
    }
  }
}

interface HeapStatistics {
  used_heap_size: number;
  heap_size_limit: number;
}

/**
 * The use of the fullest heap. Workflow code, and with it what the shards hold, lives in threads of the SDK: newer versions of Node
 * tell their heaps; elsewhere they are what the process has grown by beside the main heap.
 */
export function heapUse(): () => number {
  return (shared ??= watchHeaps());
}

/** One a process, however many workers it has. */
let shared: (() => number) | undefined;

function watchHeaps(): () => number {
  const threads = new Set<Thread & { getHeapStatistics?: () => Promise<HeapStatistics> }>();
  const uses = new Map<Thread, number>();
  process.on('worker', (thread: Thread) => {
    threads.add(thread);
    thread.once('exit', () => {
      threads.delete(thread);
      uses.delete(thread);
    });
  });
  const beside = (): number => process.memoryUsage.rss() - getHeapStatistics().total_heap_size;
  let baseline: number | undefined;
  return () => {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    const main = used / limit;
    let known = false;
    for (const thread of threads) {
      if (!thread.getHeapStatistics) continue;
      known = true;
      thread.getHeapStatistics().then(
        (heap) => uses.set(thread, heap.used_heap_size / heap.heap_size_limit),
        () => undefined,
      );
    }
    if (known) return Math.max(main, ...uses.values());
    // What is there at the first look is code and buffers, not entries.
    baseline ??= beside();
    return Math.max(main, (beside() - baseline) / limit);
  };
}
