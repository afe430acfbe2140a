/**
 * The things that have a history, and the figures of each: which are counted (they add up over time), and which are
 * looked at once a minute (mean and most over time). In the store they are arrays in this order: a figure that is new
 * goes to the end of its list. Used by `write.ts` and by the client's `series.ts`.
 */
export const SERIES = {
  /** `characters/location`; with the lateness of its runs. */
  operation: {
    counts: ['fetched', 'failed', 'skipped'],
    looks: ['ageP50Ms', 'ageP95Ms', 'ageMaxMs', 'members', 'never'],
  },
  buffer: {
    counts: ['accepted', 'done', 'merged', 'dropped'],
    looks: ['pending', 'running', 'dead', 'stored'],
  },
  /** `ms`: the time that its ticks took. */
  job: { counts: ['ticks', 'rows', 'failed', 'ms'], looks: ['failedRows'] },
  /** `esi/errors`: all keys of a limit; `esi/errors:KEY`, where they are few. `closed`: how many of them are. */
  bucket: { counts: ['spent'], looks: ['remaining', 'tokens', 'closed', 'buckets'] },
  /** `fetched` and `failed`: of the last minute. `eventLoop` and `cpu`: shares of 1. */
  node: {
    counts: [],
    looks: ['pools', 'members', 'load', 'eventLoop', 'cpu', 'rssBytes', 'lateMs', 'fetched', 'failed'],
  },
} as const satisfies Record<string, { counts: readonly string[]; looks: readonly string[] }>;

export type SeriesKind = keyof typeof SERIES;

export const SERIES_KINDS = Object.keys(SERIES) as SeriesKind[];

/** Rows of both lengths are written each minute; a minute's is kept for a day, an hour's for a month. */
export const STEPS = ['minute', 'hour'] as const;
export type Step = (typeof STEPS)[number];

export const STEP_MS: Readonly<Record<Step, number>> = { minute: 60_000, hour: 3_600_000 };
