/**
 * Every option of a buffer, once: kind, default, bounds and words; and how changes by hand are laid over them. Read by
 * the config's resolver (`config/resolve/buffer.ts`), by `config --set`, by the buffer's workflows and by the generated
 * `docs/options.md`. Values here are compiled: durations are whole milliseconds and end in `Ms`.
 */
import { laidOver, refusal, type OptionChange, type OptionChanges, type OptionSpec } from '../lib/options';
import { DAY, MINUTE, SECOND } from '../lib/time';
import type { Json } from '../lib/json';

/** The options that a buffer's workflows and its row carry. Plain JSON. */
export interface BufferOptions {
  maxBatchSize: number;
  /** Null: never. */
  flushIntervalMs: number | null;
  maxConcurrency: number;
  timeoutMs: number;
  heartbeatTimeoutMs: number;
  /** The longest delay between passes of `init` that find nothing; null: it runs once. */
  pollMs: number | null;
  bound: { entries: number; bytes: number };
  capacity: number;
  retry: { attempts: number; baseMs: number; capMs: number };
  ordered: boolean;
  shards: number;
  historyEvents: number;
  /** Whether there is an `init`. */
  init: boolean;
  /** A path within the entry; `function`: only the definition can tell; null: there is none. */
  key: { path: string } | 'function' | null;
  /** The state that each shard begins with. */
  state: Json;
  /**
   * The source of each option, by path; an option that is not listed has the built-in default. For people only
   * (`config`).
   */
  sources?: Record<string, 'defaults' | 'definition'>;
}

export const BUFFER_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'maxBatchSize',
    path: 'maxBatchSize',
    kind: 'integer',
    default: 2_000,
    min: 1,
    max: 20_000,
    text: 'Entries of one batch at most. Less where the upstream was found to take less.',
  },
  {
    name: 'flushInterval',
    path: 'flushIntervalMs',
    kind: 'duration',
    words: ['never'],
    default: 50,
    min: 0,
    max: DAY,
    text: "How long an entry waits at most for its batch to fill. `'never'`: until it is full, or `flush`.",
  },
  {
    name: 'maxConcurrency',
    path: 'maxConcurrency',
    kind: 'integer',
    default: 2,
    min: 1,
    max: 100,
    text: 'Batches of one shard at once.',
  },
  {
    name: 'timeout',
    path: 'timeoutMs',
    kind: 'duration',
    default: MINUTE,
    min: 10,
    max: DAY,
    text: 'A batch that takes longer is aborted (its AbortSignal fires) and halved.',
  },
  {
    name: 'heartbeatTimeout',
    path: 'heartbeatTimeoutMs',
    kind: 'duration',
    default: 10 * SECOND,
    min: SECOND,
    max: 10 * MINUTE,
    text: "A dead worker's batches run on other workers this long after its last heartbeat.",
  },
  {
    name: 'poll',
    path: 'pollMs',
    kind: 'duration',
    default: 30 * SECOND,
    min: 100,
    max: DAY,
    text: 'When all is handled `init` runs again; where it finds nothing, after a delay that doubles from 1 s up to this. `false`: `init` runs once.',
  },
  {
    name: 'bound.entries',
    path: 'bound.entries',
    kind: 'integer',
    default: 50_000,
    min: 1,
    max: 1_000_000,
    text: 'Entries that a shard keeps in memory; what comes past it goes to PostgreSQL, in order.',
  },
  {
    name: 'bound.bytes',
    path: 'bound.bytes',
    kind: 'integer',
    default: 1_000_000,
    min: 10_000,
    max: 16_000_000,
    text: 'The same in bytes of JSON.',
  },
  {
    name: 'capacity',
    path: 'capacity',
    kind: 'integer',
    default: 100_000_000,
    min: 1,
    max: 10_000_000_000,
    text: 'Entries that the whole buffer may have pending, memory and PostgreSQL together; past it senders wait.',
  },
  {
    name: 'retry.attempts',
    path: 'retry.attempts',
    kind: 'integer',
    default: 5,
    min: 1,
    max: 1_000,
    text: 'An entry that has failed so often, alone or because `run` said so, is a dead letter. Failures in a batch with others do not count.',
  },
  {
    name: 'retry.base',
    path: 'retry.baseMs',
    kind: 'duration',
    default: SECOND,
    min: 1,
    max: DAY,
    text: 'The delay after the first failure; it doubles with each, ± 20 %.',
  },
  {
    name: 'retry.cap',
    path: 'retry.capMs',
    kind: 'duration',
    default: MINUTE,
    min: 1,
    max: 30 * DAY,
    text: 'The longest delay.',
  },
  {
    name: 'ordered',
    path: 'ordered',
    kind: 'boolean',
    default: false,
    text: 'One shard and one batch at a time; what comes again holds all others until it is done or dead.',
  },
  {
    name: 'shards',
    path: 'shards',
    kind: 'integer',
    default: 2,
    min: 1,
    max: 256,
    text: 'Workflows that the entries are spread over, by key where there is one. 1 where `ordered`.',
  },
  {
    name: 'historyEvents',
    path: 'historyEvents',
    kind: 'integer',
    default: 2_000,
    min: 50,
    max: 10_000,
    text: "Continue-as-new past this many events of a workflow's history, or 6 MB of it.",
  },
];

/** The word, beside a duration, for an option that is null when compiled. */
export const NONE: Readonly<Record<string, string | boolean>> = { flushInterval: 'never', poll: false };

function specOf(path: string): OptionSpec | undefined {
  return BUFFER_OPTIONS.find((spec) => spec.path === path);
}

/** Everything that is wrong with one change; empty: it may be made. A word of {@link NONE} stands for none. */
export function bufferChangeProblems(options: BufferOptions, { path, value }: OptionChange): string[] {
  const spec = specOf(path);
  if (!spec) return [`a buffer has no option ${path}`];
  if (value === null || (spec.name in NONE && value === NONE[spec.name])) return [];
  const problem = refusal(spec, value);
  if (problem !== undefined) return [problem];
  const single = path === 'shards' || path === 'maxConcurrency';
  return options.ordered && single && value !== 1 ? [`${path} must be 1 where the buffer is ordered`] : [];
}

/** The options with what was set by hand laid over them. */
export function withBufferChanges(options: BufferOptions, changes: OptionChanges): BufferOptions {
  return laidOver(options, changes, {
    problems: bufferChangeProblems,
    compiled: (path, value) => {
      const { name } = specOf(path)!;
      return name in NONE && value === NONE[name] ? null : value;
    },
  });
}

/** The state that a shard may keep: JSON of this many bytes. */
export const STATE_BYTES = 64 * 1024;
