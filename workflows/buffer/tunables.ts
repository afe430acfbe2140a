/**
 * The numbers by which a buffer's workflows decide, in one place, beside a buffer's options. A number here decides
 * about timers and activities, so **changing one changes the commands of running histories**: it needs a version, as
 * CONTRIBUTING.md says ('Changing a number of a workflow'), and `test/replay/tunables.test.ts` fails without one.
 * `buffer.ts` and its parts read the numbers of the parent, `plan.ts` and the files beside it those of a shard.
 */
import type { Versions } from '../lib/version';

export const BUFFER_TUNABLES = {
  /** One attempt of an activity that reads or writes the buffer's row. */
  commandMs: 30_000,
  /** One attempt to read a page of `init`: the user's code may take its time. */
  pageMs: 10 * 60_000,
  /** A page of which nothing is heard for this long is read again on another worker. */
  pageHeartbeatMs: 30_000,
  /** The longest wait between two attempts to read a page. */
  pageRetryAtMostMs: 30_000,
  /** The next page is read this long after one that failed for good. */
  failedPauseMs: 10_000,
  /** Between passes that find nothing, at first; it doubles up to the option `poll`. */
  pollBaseMs: 1_000,
  /** Batches of a shard's part of a page: each page costs the parent and the shard some tasks of the server. */
  pageBatches: 4,
} as const;

/** While PostgreSQL is away, senders wait at this: a message may still come to it, and its answer. */
const BRIDGE_BYTES = 1_000_000;
/** Entries that continue-as-new may carry (a payload's limit is 2 MB, a warning comes at 512 KB). */
const CARRY_BYTES = 256 * 1024;

/** Bytes are bytes of JSON as UTF-8. */
export const SHARD_TUNABLES = {
  // ── What is carried, and by what ──
  carryBytes: CARRY_BYTES,
  /**
   * All that it may carry, entries and marks: what PostgreSQL does not take now, rather than a history past its limit.
   */
  carryBytesAtMost: 1_600_000,
  bridgeBytes: BRIDGE_BYTES,
  /** The front has so much room where the back has none any more. */
  frontBytes: BRIDGE_BYTES + 250_000,
  /** The most that one command carries, except for an entry that is larger by itself. */
  commandBytes: 440_000,
  /** The most that the commands of one task carry together, before the next one goes (the server takes 4 MB). */
  taskBytes: 1_500_000,
  /** A larger entry fits into no command. */
  entryBytes: 1_900_000,
  /** How many of the carried bytes remembered errors may use; beyond that each is cut to `lastWord` characters. */
  wordBytes: CARRY_BYTES / 3,
  lastWord: 80,
  /** The most that the marks of senders may use; beyond that each sender keeps so many. */
  marksBytes: 150_000,
  marksLeft: 20,
  /** A chunk's own words and numbers, in the state; and in the input of a batch. */
  chunkBytes: 260,
  chunkInputBytes: 130,
  /** The words and numbers of the state beside chunks and marks. */
  restBytes: 1_500,

  // ── Taking in ──
  /** A run of entries in memory is no longer than this, so that every part of it fits into a command. */
  runBytes: 256 * 1024,
  /** A row with more entries was miscounted by whoever typed that. */
  rowEntries: 1_000_000,
  /** A longer key is known by its hash: it is carried, indexed and compared as often as its entry. */
  keyBytes: 200,
  /** How long senders are asked to wait: where there is no room; while the shard reads what was kept. */
  waitMs: 200,
  openingMs: 200,
  /** Runs of numbers beyond a gap that are remembered of a sender; and of how many senders, those heard of last. */
  spans: 1_000,
  senders: 500,
  /** A shard that was asked to shrink keeps this much, so that a batch is there when one ends. */
  minimumBytes: 32 * 1024,

  // ── Chunks and batches ──
  /** Neighbours of the same fate are joined up to this: few objects, and rows of a good size. */
  joinCount: 2_000,
  joinBytes: 128 * 1024,
  /** Put-off chunks in memory; more go to PostgreSQL. */
  laterChunks: 500,
  /**
   * More chunks than these at the back wait among the put-off ones, which go to PostgreSQL: an upstream that refuses
   * all cuts everything up.
   */
  backChunks: 100,
  /** The most that one batch reads from PostgreSQL, and its chunks: each is a few words of its input. */
  batchStoredBytes: 8_000_000,
  batchChunks: 500,
  /** A batch takes so many settled rows along to be deleted. */
  batchForgets: 100,
  /** A batch's activity may take this much longer than its `timeout`. */
  marginMs: 30_000,
  /** A whole batch is tried this often before it is halved: most failures pass by themselves. */
  wholeTries: 2,
  /** Failures in a row before the shard itself waits between batches, and how long at most. */
  patience: 3,
  holdCapMs: 5_000,
  /** A hold that was asked for without a time, and the longest. */
  heldMs: 1_000,
  heldAtMostMs: 24 * 60 * 60_000,
  /** Full batches that must go well before a learned size grows by a tenth. */
  wins: 5,
  /** Errors that an entry remembers, and how many characters of each. */
  errors: 5,
  errorLength: 500,

  // ── PostgreSQL ──
  /** One attempt of an activity that speaks to PostgreSQL. */
  storeMs: 30_000,
  /** Rows of one store; and stored chunks fetched at once, by reference. */
  storeRows: 200,
  fetchRows: 50,
  /** Letters of entries that are gone, in one chunk. */
  lostEntries: 1_000,
  /** Dead letters buried at once: chunks, and entries of rows, whose size is not known here. */
  buryChunks: 500,
  buryEntries: 2_000,
  /** From one question to the next while PostgreSQL is away, at first and at most; where it is there and refuses. */
  askMs: 1_000,
  askAtMostMs: 5_000,
  refusedAtMostMs: 300_000,

  // ── Telling ──
  /**
   * The node is told at once, without a trace in the history. A report that must not get lost follows after a rest of
   * this; while batches run, whose end is another occasion, after this.
   */
  reportMs: 2_000,
  busyReportMs: 10_000,
  /** Rows that a report forgets at once. */
  forgetRows: 1_000,
  /** The parent is not told of a shorter rest between two batches, nor told more often than this. */
  roomMs: 500,

  // ── The end of a run ──
  /** History of a run, beside the option `historyEvents` and what the server suggests. */
  historyBytes: 6_000_000,
  /**
   * Past this a batch that still runs is taken back, so that the history cannot reach its limit: 51,200 events or 50
   * MB, 10,000 signals, 2,000 updates.
   */
  historyEventsAtMost: 9_500,
  historyBytesAtMost: 20_000_000,
  updatesAtMost: 1_900,
  /** When a run is to end, batches that take longer are not waited for: others go on meanwhile. */
  slowMs: 2_000,
  /** An alarm that is younger is left as it is: what made it superfluous so soon may soon be over. */
  youngAlarmMs: 100,
} as const;

export const BUFFER_VERSIONS: Versions = { 'buffer-1': 'The numbers of 0.1.0.' };
export const SHARD_VERSIONS: Versions = { 'shard-1': 'The numbers of 0.1.0.' };
