/**
 * The numbers that steer a job's workflow (`job.ts`, `passes.ts`, `commands.ts`), beside a job's options. A number here
 * decides about timers and activities, so **changing one changes the commands of running histories**: it needs a
 * version, as CONTRIBUTING.md says ('Changing a number of a workflow'), and `test/replay/tunables.test.ts` fails
 * without one.
 */
import type { Versions } from '../lib/version';

export const JOB_TUNABLES = {
  /** An activity that reads or writes the job's row takes no longer. */
  commandMs: 60_000,
  /** A pass may take long; its heartbeat shows when its worker dies. */
  passMs: 7 * 24 * 60 * 60_000,
  /** The next pass waits this long after one that failed for good. */
  failedPauseMs: 10_000,
  /** The next pass waits this long after one whose job a newer holder has taken. */
  fencedPauseMs: 1_000,
  /** Pause and stop answer when the pass they end has ended, or after this: one long statement may take its time. */
  endPatienceMs: 5_000,
  /** A job may wait for longer than a timer can: it looks again after this. */
  longestTimerMs: 30 * 24 * 60 * 60_000,
} as const;

export const JOB_VERSIONS: Versions = { 'job-1': 'The numbers of 0.1.0.' };
