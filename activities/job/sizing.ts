/**
 * How many rows a chunk has, and how long a stream rests after it: pure, fed with what each chunk took. Made by
 * `regen.ts`, one for all streams of a pass; fed by `range.ts`.
 */
import type { JobOptions } from '../../workflows/job/options';

/** The aim of `chunk: 'auto'`: rows are locked about this long. Milliseconds. */
export const CHUNK_TARGET_MS = 6;
const FIRST_ROWS = 2_000;
const MIN_ROWS = 100;
const MAX_ROWS = 100_000;
const MAX_REST_MS = 250;
/** Round trips of a chunk's transaction beside the work on its rows: they say nothing of how many it should have. */
const TRIPS = 3;

export class Sizing {
  private rows: number;
  /** The cost of a row: of late, and the least in this pass, slowly forgotten. Milliseconds. */
  private cost: number | undefined;
  private bestCost: number | undefined;
  private readonly startedAt = performance.now();
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
   * Notes a chunk: how many rows it went over (0: not a whole one), how many it changed, how long they were locked, and
   * what a round trip took meanwhile.
   * @returns how long to rest before the next one. Milliseconds.
   */
  took(over: number, changed: number, ms: number, tripMs: number): number {
    // On a busy machine waits make up most of a small chunk; smaller ones would only wait more often.
    const net = Math.max(ms / 50, ms - TRIPS * tripMs);
    if (this.options.chunk === 'auto' && over > 0) {
      const cost = net / over;
      // A single stall is not what a row costs; slowness that stays is.
      this.cost = this.cost === undefined ? cost : this.cost + 0.3 * (Math.min(cost, 2 * this.cost) - this.cost);
      this.rows = clamp(Math.min(this.rows * 1.5, CHUNK_TARGET_MS / this.cost));
    }
    this.done += changed;
    return Math.max(this.rest(over, changed, ms), this.rateRest());
  }

  /** Rows that cost more than twice what others did were slowed down by somebody: as much time is left to them. */
  private rest(over: number, changed: number, ms: number): number {
    const rows = changed + over / 10;
    if (this.options.pace === 'full' || rows < MIN_ROWS / 2) return 0;
    const cost = ms / rows;
    const best = (this.bestCost = Math.min(cost, (this.bestCost ?? cost) * 1.01));
    const slowed = cost / best;
    return slowed <= 2 ? 0 : Math.min(ms, ms * (slowed - 2), MAX_REST_MS);
  }

  private rateRest(): number {
    const { pace } = this.options;
    if (typeof pace !== 'number') return 0;
    return Math.max(0, (this.done / pace) * 1_000 - (performance.now() - this.startedAt));
  }
}

const clamp = (rows: number): number => Math.round(Math.min(MAX_ROWS, Math.max(MIN_ROWS, rows)));
