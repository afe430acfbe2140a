/**
 * The memory monitor of a node: above 80 % of the heap limit it asks the shards that keep most here to shrink, as many
 * a look as would bring it to 70 %, until that is reached or all are at their minimum; below that they may grow again.
 * Heaps below 320 MB have lower marks, since what comes in before a shard has shrunk needs room as well. The shards
 * tell their sizes by a sink (`workflows/buffer/shard.ts`) and hear of it by a signal, which moves what they hold to
 * PostgreSQL. Made by `workers/parts.ts`.
 */
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { ShardSinks } from '../../workflows/buffer/contract';
import { errorOf } from '../lib/failures';
import { Background } from '../lib/service';
import type { HeapUse } from './heap';

type ShardSize = Parameters<ShardSinks['buffers']['size']>[0];

const SHRINK_ABOVE = 0.8;
const GROW_BELOW = 0.7;
/**
 * The room that is always left: for the messages and stores under way, and what comes in within the second or two until
 * a shard has shrunk. Bytes.
 */
const HEADROOM_BYTES = 64 * 1024 * 1024;
const LOOK_MS = 250;
/** Looks below the mark before half of the shards may grow: what was freed must be seen to stay free. */
const CALM_LOOKS = 20;

/** The size that a shard has told is believed so long. Milliseconds. */
const SILENT_MS = 10 * 60_000;

interface MemoryMonitorOptions {
  /** The fullest heap of the process (`heap.ts`). */
  heap: () => HeapUse;
  tell: (buffer: string, shard: number, wish: 'shrink' | 'grow') => Promise<void>;
  log: Logger;
  registry?: Registry;
}

export class MemoryMonitor extends Background {
  private readonly shards = new Map<string, ShardSize>();
  private readonly shrunk = new Map<string, ShardSize>();
  private readonly heardAt = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private calm = 0;
  private warned = false;

  constructor(private readonly options: MemoryMonitorOptions) {
    super();
    const { registry, heap } = options;
    if (!registry) return;
    const shrunk = this.shrunk;
    new Gauge({
      name: 'longwatch_heap_use',
      help: 'Share of the heap limit in use, of the fullest heap of the process',
      registers: [registry],
      collect() {
        const { bytes, limit } = heap();
        this.set(bytes / limit);
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

  protected open(): Promise<void> {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
    return Promise.resolve();
  }

  protected close(): Promise<void> {
    clearInterval(this.timer);
    return Promise.resolve();
  }

  /**
   * A shard whose workflow is on this node says what it keeps. One that was asked to shrink by a node that is gone may
   * grow again from here.
   */
  note(size: ShardSize): void {
    const id = `${size.buffer}/${size.shard}`;
    this.heardAt.set(id, Date.now());
    this.shards.set(id, size);
    if (size.shrunk) this.shrunk.set(id, size);
  }

  /** Shards that are not heard of any more are on other nodes, or at rest. */
  private forgetSilent(): void {
    for (const [id, at] of this.heardAt) {
      if (Date.now() - at < SILENT_MS || this.shrunk.has(id)) continue;
      this.heardAt.delete(id);
      this.shards.delete(id);
    }
  }

  /** One look: some shards shrink, or some may grow. */
  async look(): Promise<void> {
    this.forgetSilent();
    const { bytes, limit } = this.options.heap();
    const use = bytes / limit;
    const high = Math.min(SHRINK_ABOVE, 1 - HEADROOM_BYTES / limit);
    const low = high - (SHRINK_ABOVE - GROW_BELOW);
    if (use > high) {
      this.calm = 0;
      const largest = this.largest((use - low) / use);
      await Promise.all(largest.map((size) => this.tell(size, 'shrink', use)));
      if (largest.length === 0 && !this.warned) {
        this.warned = true;
        this.options.log.warn({ use }, 'memory is short and every shard is at its minimum');
      }
    } else if (use < low) {
      this.warned = false;
      if (this.shrunk.size === 0 || ++this.calm < CALM_LOOKS) return;
      this.calm = 0;
      const half = [...this.shrunk.values()].reverse().slice(0, Math.ceil(this.shrunk.size / 2));
      await Promise.all(half.map((size) => this.tell(size, 'grow', use)));
    }
  }

  /** The largest shards that may shrink, so many that they keep `share` of what all of these keep. */
  private largest(share: number): ShardSize[] {
    const shards = [...this.shards.values()]
      .filter((size) => !this.shrunk.has(`${size.buffer}/${size.shard}`) && !size.atMinimum)
      .sort((a, b) => b.bytes - a.bytes);
    let left = share * shards.reduce((sum, { bytes }) => sum + bytes, 0);
    return shards.filter(({ bytes }) => {
      const asked = left > 0;
      left -= bytes;
      return asked;
    });
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
