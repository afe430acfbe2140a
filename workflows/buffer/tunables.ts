/**
 * The numbers by which a buffer's workflows decide, in one place, beside a buffer's options. A number here decides
 * about timers and activities, so **changing one changes the commands of running histories**: replay the recorded ones
 * (`test/replay`) with the new number, and put it behind `patched` where they do not replay. `buffer.ts` and its parts
 * read the numbers of the parent.
 */
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
} as const;
