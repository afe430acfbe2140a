/**
 * The error types that cross Temporal, as strings that survive serialization, and the one place that says which of
 * them are tried again. An activity throws them by `failure()` of `activities/lib/failures.ts`.
 */
export const ErrorType = {
  /** This run is not the pool's current one (reset, replaced). */
  PoolNotCurrent: 'PoolNotCurrent',
  /** This run is not the tracker's current root (terminated, replaced). */
  TrackerNotCurrent: 'TrackerNotCurrent',
  /** The tracker has had a command that this one's sender did not know of. */
  Superseded: 'Superseded',
  /** A newer holder has the fence. */
  Fenced: 'Fenced',
  /** No tracker of that name in the database. */
  UnknownTracker: 'UnknownTracker',
  /** The tracker is stopped: only a start is taken. */
  TrackerStopped: 'TrackerStopped',
  /** This run is not the job's current one (reset, replaced). */
  JobNotCurrent: 'JobNotCurrent',
  /** No job of that name in the database. */
  UnknownJob: 'UnknownJob',
  /** The job is stopped: only a start is taken. */
  JobStopped: 'JobStopped',
  /** The worker's config has no definition for the tracker or sweep; another worker may have it. */
  NotDefinedHere: 'NotDefinedHere',
  /** An option that does not exist or a value that may not stand there. */
  BadOption: 'BadOption',
  /** Somebody has changed the options since its sender read them. */
  Changed: 'Changed',
  /** PostgreSQL does not answer. */
  StoreUnavailable: 'StoreUnavailable',
  /** This node takes no more shifts: it shuts down, or is above its target. */
  Declined: 'Declined',
  /** Forced by `longwatch crash`. */
  ForcedCrash: 'ForcedCrash',
  /** The database belongs to another Temporal cluster. */
  ForeignDeployment: 'ForeignDeployment',
  /** A durable activity has failed in all of its attempts, or in one that cannot be tried again. */
  ActivityFailed: 'ActivityFailed',
  /** Another worker has the lease of a durable activity, its resource or its key: later. */
  LeaseHeld: 'LeaseHeld',
  /** A durable activity was fenced, or its worker ends: it runs again, or its result is there by then. */
  HandedBack: 'HandedBack',
  /** The run is over, so nobody can use the result. */
  Discarded: 'Discarded',
  /** A durable activity's attempt took longer than its timeout. */
  ActivityTimeout: 'ActivityTimeout',
  /** Input, key or result that cannot be worked with. */
  BadValue: 'BadValue',
  /** No buffer of that name in the database. */
  UnknownBuffer: 'UnknownBuffer',
  /** A shard has no room now: nothing of the push was taken. */
  BufferFull: 'BufferFull',
  /** The buffer is stopped: only a start is taken. */
  BufferStopped: 'BufferStopped',
  /** A saga has compensations that failed for good. */
  CompensationFailed: 'CompensationFailed',
} as const;
export type ErrorType = (typeof ErrorType)[keyof typeof ErrorType];

/** Trying again cannot help with these. Everything else is retried. */
export const NON_RETRYABLE: readonly ErrorType[] = [
  ErrorType.PoolNotCurrent,
  ErrorType.TrackerNotCurrent,
  ErrorType.Superseded,
  ErrorType.Fenced,
  ErrorType.UnknownTracker,
  ErrorType.UnknownBuffer,
  ErrorType.BufferStopped,
  ErrorType.TrackerStopped,
  ErrorType.BadOption,
  ErrorType.Changed,
  ErrorType.JobNotCurrent,
  ErrorType.UnknownJob,
  ErrorType.JobStopped,
  ErrorType.ForeignDeployment,
  ErrorType.ActivityFailed,
  ErrorType.Discarded,
  ErrorType.BadValue,
  ErrorType.CompensationFailed,
];
