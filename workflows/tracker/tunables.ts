/**
 * The numbers by which a tracker's workflows decide, in one place. **Changing one changes the commands of running
 * histories**: it needs a version, as CONTRIBUTING.md says ('Changing a number of a workflow'), and
 * `test/replay/tunables.test.ts` fails without one. `plan.ts` and the parts of `pool.ts` read the numbers of a pool,
 * `tracker.ts` and its parts those of the root.
 */
import type { Versions } from '../lib/version';

export const POOL_TUNABLES = {
  /** One applyRoster activity has at most this many changes, and this many bytes of them: Temporal refuses 2 MB. */
  applyBatch: 5_000,
  applyBytes: 512 * 1024,
  /**
   * Two applies a second a pool, after a few at once: a single id is tracked without a wait, and a stream of them goes
   * together.
   */
  applyGapMs: 500,
  applyBurst: 4,
  /** Continue-as-new may carry this much of pending changes (bytes of JSON, far below the 2 MB payload limit). */
  carryBytes: 128 * 1024,
  /** The workflow waits for this long after a failure that Temporal does not retry. */
  failedPauseMs: 10_000,
  /** The next shift comes this much later after one that found a newer holder of its pool. */
  fencedPauseMs: 1_000,
  /** A node that is wanted takes a pool from its own queue within this, or the shared queue has it. */
  ownQueueMs: 1_000,
  /** Handed on more often, a pool goes by the shared queue, and with a pause: no node seems to know better. */
  mostHops: 8,
  handedOnPauseMs: 1_000,
  /** An operator's move comes as if handed on twice: the node takes it, if it may keep it at all. */
  wantedHops: 2,
  /** A shift that no node begins is asked for less and less often: at most this many times its first wait apart. */
  mostBeginWaits: 8,
  /** Writing down that nobody begins a shift keeps the next one waiting no longer than this. */
  noteMs: 10_000,
  /** A cancelled pool goes on for this long to apply the changes that it has accepted. */
  lastAppliesMs: 60_000,
  /** The greatest `timeout` of an operation, and the time that its shift needs after it. */
  longestRunMs: 65 * 60_000,
  /** One attempt of `openPool` or `applyRoster`. */
  activityMs: 30_000,
  /** An error that is carried along and shown is cut to this many characters. */
  errorLength: 1_000,
} as const;

export const TRACKER_TUNABLES = {
  /** One attempt of an activity of the root: it may wake or split every pool. */
  commandMs: 120_000,
  /** An attempt of which nothing is heard for this long is begun again on another worker. */
  commandHeartbeatMs: 30_000,
} as const;

export const POOL_VERSIONS: Versions = { 'pool-1': 'The numbers of 0.1.0.' };
export const TRACKER_VERSIONS: Versions = { 'tracker-1': 'The numbers of 0.1.0.' };
