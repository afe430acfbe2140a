/**
 * How the process does: its event loop, processor and memory, since the last look. Looked at each second by
 * `placing.ts`, which writes it into the node's row and goes by the lag (`placement/health.ts`).
 */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

export interface PulseReading {
  /** The part of the time in which the event loop ran code, 0 to 1. */
  readonly eventLoop: number;
  /** How late it ran at most, milliseconds. */
  readonly lagMs: number;
  /** Processor cores in use. */
  readonly cpu: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly heapLimitBytes: number;
}

/** Readings that are closer to each other are one: announcements make a node look more often. Milliseconds. */
const LEAST_MS = 500;

export class Pulse {
  private tickedAt: number | undefined;
  private latest = 0;
  private last: PulseReading | undefined;
  private loop = performance.eventLoopUtilization();
  private cpu = process.cpuUsage();
  private at = performance.now();

  /** A timer has come. `monitorEventLoopDelay` would not do: its `reset` loses the lag that follows it. */
  ticked(periodMs: number): void {
    const at = performance.now();
    if (this.tickedAt !== undefined) this.latest = Math.max(this.latest, at - this.tickedAt - periodMs);
    this.tickedAt = at;
  }

  /** Another timer begins. */
  restarted(): void {
    this.tickedAt = undefined;
  }

  read(): PulseReading {
    if (this.last && performance.now() - this.at < LEAST_MS) {
      return { ...this.last, lagMs: Math.max(this.last.lagMs, this.latest) };
    }
    return (this.last = this.readNow());
  }

  private readNow(): PulseReading {
    const loop = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(loop, this.loop);
    this.loop = loop;
    const at = performance.now();
    const { user, system } = process.cpuUsage(this.cpu);
    this.cpu = process.cpuUsage();
    const cpu = (user + system) / 1_000 / Math.max(1, at - this.at);
    this.at = at;
    const lagMs = this.latest;
    this.latest = 0;
    const heap = getHeapStatistics();
    return {
      eventLoop: Number.isFinite(utilization) ? utilization : 0,
      lagMs,
      cpu,
      rssBytes: process.memoryUsage.rss(),
      heapBytes: heap.used_heap_size,
      heapLimitBytes: heap.heap_size_limit,
    };
  }
}
