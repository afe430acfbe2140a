/**
 * How many rows a chunk has, and how long a stream rests after it: pure, fed with what each chunk took. Used by `regen.ts` and
 * `decay.ts`, one for all streams of a pass.
 */
import type { JobOptions } from '../../workflows/population/options';

/** The aim of `chunk: 'auto'`: rows are locked about this long. Milliseconds. */
export const CHUNK_TARGET_MS = 5;
const FIRST_ROWS = 2_000;
const MIN_ROWS = 100;
const MAX_ROWS = 100_000;

export class Sizing {
  private rows: number;
  /** The least that a row has cost in this pass, slowly forgotten. Milliseconds. */
  private bestCost: number | undefined;
  private startedAt = performance.now();
  private done = 0;

  constructor(
    private readonly options: Pick<JobOptions, 'chunk' | 'pace'>,
    known: number | undefined,
  ) {
    this.rows = typeof options.chunk === 'number' ? options.chunk : clamp(known ?? FIRST_ROWS);
  }

  /** Rows of the next chunk. */
  get size(): number {
    return this.rows;
  }

  /**
   * Notes a chunk: how many rows it went over, how many it changed, how long they were locked.
   * @returns how long to rest before the next one. Milliseconds.
   */
  took(over: number, changed: number, ms: number): number {
    if (this.options.chunk === 'auto' && over > 0) {
      // Grows by half at most, for the next part of the table may cost more; shrinks at once.
      const wanted = this.rows * Math.min(1.5, CHUNK_TARGET_MS / Math.max(ms, 0.1));
      this.rows = clamp(wanted);
    }
    this.done += changed;
    return Math.max(this.rest(over, changed, ms), this.rateRest());
  }

  /** A chunk that cost more than twice what others cost was slowed down by somebody: as much time is left to them. */
  private rest(over: number, changed: number, ms: number): number {
    const rows = changed + over / 10;
    if (this.options.pace === 'full' || rows < MIN_ROWS / 2) return 0;
    const cost = ms / rows;
    const best = (this.bestCost = Math.min(cost, (this.bestCost ?? cost) * 1.01));
    const slowed = cost / best;
    return slowed <= 2 ? 0 : Math.min(ms, ms * (slowed - 2), 250);
  }

  private rateRest(): number {
    const { pace } = this.options;
    if (typeof pace !== 'number') return 0;
    return Math.max(0, (this.done / pace) * 1_000 - (performance.now() - this.startedAt));
  }
}

const clamp = (rows: number): number => Math.round(Math.min(MAX_ROWS, Math.max(MIN_ROWS, rows)));
