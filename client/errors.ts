/**
 * One class a cause, each with a message that says what to do next. Thrown by the library, shown by the command line
 * without a stack. `usage` tells a mistake of the caller (exit status 2) from something that went wrong (1).
 */

/** The base of all of them. */
export class LongwatchError extends Error {
  /** The caller asked for something that cannot be; trying again changes nothing. */
  readonly usage: boolean = false;
  override get name(): string {
    return this.constructor.name;
  }
}

/** No tracker of that name has been started. */
export class UnknownTrackerError extends LongwatchError {
  override readonly usage = true;
  constructor(
    readonly tracker: string,
    hint: string,
    known: readonly string[],
  ) {
    const others = known.length === 0 ? '; none has been started yet' : `; there ${known.length === 1 ? 'is' : 'are'} `;
    const next = known.length === 0 ? ` (npx longwatch start ${tracker})` : list(known);
    super(`there is no tracker '${tracker}'${hint || others + next}`);
  }
}

/** Ids cannot be added to, and nothing can be changed on, a tracker that was stopped. */
export class TrackerStoppedError extends LongwatchError {
  constructor(readonly tracker: string) {
    super(`tracker '${tracker}' is stopped, so nothing was done; start it first: npx longwatch start ${tracker}`);
  }
}

/** The tracker's row says that it runs, and its root workflow is gone (terminated in the Temporal UI, say). */
export class TrackerGoneError extends LongwatchError {
  constructor(readonly tracker: string) {
    super(`the root workflow of tracker '${tracker}' is gone; bring it back with: npx longwatch start ${tracker}`);
  }
}

/** No job of that name has been started. */
export class UnknownJobError extends LongwatchError {
  override readonly usage = true;
  constructor(
    readonly job: string,
    hint: string,
    known: readonly string[],
  ) {
    const others = known.length === 0 ? '; none has been started yet' : `; there ${known.length === 1 ? 'is' : 'are'} `;
    const next = known.length === 0 ? ` (npx longwatch start ${job})` : list(known);
    super(`there is no job '${job}'${hint || others + next}`);
  }
}

/** Nothing can be changed on a job that was stopped. */
export class JobStoppedError extends LongwatchError {
  /** @param begun a tick that was asked for had begun: the next start finishes it */
  constructor(
    readonly job: string,
    begun = false,
  ) {
    super(
      begun
        ? `job '${job}' was stopped in the middle of the tick, which goes on with: npx longwatch start ${job}`
        : `job '${job}' is stopped, so nothing was done; start it first: npx longwatch start ${job}`,
    );
  }
}

/** The job's row says that it runs, and its workflow is gone (terminated in the Temporal UI, say). */
export class JobGoneError extends LongwatchError {
  constructor(readonly job: string) {
    super(`the workflow of job '${job}' is gone; bring it back with: npx longwatch start ${job}`);
  }
}

/** An id that cannot be tracked. Nothing of the call was done. */
export class InvalidIdError extends LongwatchError {
  override readonly usage = true;
  constructor(
    /** Its place: `line 12`, `id 3`. */
    readonly position: string,
    readonly reason: string,
  ) {
    super(`${position}: ${reason}; nothing was sent`);
  }
}

/** A cursor that no list has given, or another one than the one that it was given to. */
export class InvalidCursorError extends LongwatchError {
  override readonly usage = true;
  constructor(readonly cursor: string) {
    super(`'${cursor.slice(0, 100)}' is not a cursor of this list; begin again without one`);
  }
}

/** A time or a step that the history cannot be asked for. */
export class InvalidRangeError extends LongwatchError {
  override readonly usage = true;
}

/** `show` of an id that is not a member. */
export class NotTrackedError extends LongwatchError {
  constructor(
    readonly tracker: string,
    readonly id: string,
    removedAt?: string,
  ) {
    super(
      removedAt === undefined
        ? `'${id}' is not tracked by '${tracker}'; add it with: npx longwatch add ${tracker} ${id}`
        : `'${id}' is not tracked by '${tracker}': it was removed at ${removedAt}`,
    );
  }
}

/** There is no such pool. */
export class UnknownPoolError extends LongwatchError {
  override readonly usage = true;
  constructor(tracker: string, pool: number, pools: number) {
    super(`tracker '${tracker}' has no pool ${pool}; its pools are 0 to ${pools - 1}`);
  }
}

/** No worker of that name has worked in the last day. */
export class UnknownNodeError extends LongwatchError {
  override readonly usage = true;
  constructor(
    readonly node: string,
    hint: string,
    names: readonly string[],
  ) {
    const known = names.length > 0 ? `; there are ${list(names)}` : '; no worker has been started yet';
    super(`there is no node '${node}'${hint || known} (npx longwatch nodes)`);
  }
}

/** No worker's config has had a limited upstream of that name. */
export class UnknownUpstreamError extends LongwatchError {
  override readonly usage = true;
  constructor(
    readonly upstream: string,
    hint: string,
    names: readonly string[],
  ) {
    const known = names.length > 0 ? `; there are ${list(names)}` : '; no worker has had one with limits yet';
    super(`there is no upstream '${upstream}'${hint || known}`);
  }
}

/** Nobody has spent from a bucket of that name lately. */
export class UnknownBucketError extends LongwatchError {
  override readonly usage = true;
  constructor(
    readonly bucket: string,
    some: readonly string[],
  ) {
    const others = some.length > 0 ? `; there are ${list(some)}` : '';
    const how = "npx longwatch budget list (one member's own: --member ID)";
    super(`nobody has spent from '${bucket}' lately${others}; see: ${how}`);
  }
}

/** Not the name of a bucket. */
export class InvalidBucketError extends LongwatchError {
  override readonly usage = true;
  constructor(bucket: string) {
    super(`'${bucket}' is not a bucket: write UPSTREAM/LIMIT:KEY, such as esi/group:90000001, or UPSTREAM/LIMIT`);
  }
}

/** The tracker has no such operation. */
export class UnknownOperationError extends LongwatchError {
  override readonly usage = true;
  constructor(tracker: string, operation: string, operations: readonly string[]) {
    super(`tracker '${tracker}' has no operation '${operation}'; it has: ${operations.join(', ')}`);
  }
}

/** More ids at once than can be asked anew one by one. */
export class TooManyIdsError extends LongwatchError {
  override readonly usage = true;
  constructor(ids: number, most: number) {
    super(`${ids} ids are more than can be asked anew one by one (${most}); without ids the whole tracker is`);
  }
}

export class TemporalUnavailableError extends LongwatchError {
  constructor(address: string, done = 'nothing was done', cause?: unknown) {
    super(
      `Temporal does not answer at ${address}: ${done}. ` +
        'Start it (npx longwatch dev), or say where it is with TEMPORAL_ADDRESS or --address',
      { cause },
    );
  }
}

export class DatabaseUnavailableError extends LongwatchError {
  constructor(address: string, detail: string, cause?: unknown) {
    super(
      `the database at ${address} cannot be used: ${detail}. ` +
        'Start it (npx longwatch dev), or say where it is with DATABASE_URL or --database',
      { cause },
    );
  }
}

/** Only what is shown comes from there: changes are made as ever. */
export class ReplicaUnavailableError extends LongwatchError {
  constructor(address: string, detail: string, cause?: unknown) {
    super(
      `the replica at ${address} cannot be used: ${detail}. ` +
        'Without READ_DATABASE_URL, what is shown is read where it is written',
      { cause },
    );
  }
}

/** Workers of another database take what this namespace has. */
export class ForeignNamespaceError extends LongwatchError {}

/**
 * This client would write otherwise than the workers do: in clear where they have a codec, or encoded where they have
 * none.
 */
export class EncodingMismatchError extends LongwatchError {}

export class DatabaseNotMigratedError extends LongwatchError {
  constructor(address: string, cause?: unknown) {
    super(
      `the database at ${address} has no (or an old) Longwatch schema; bring it up to date: npx longwatch migrate`,
      {
        cause,
      },
    );
  }
}

/** Temporal has the request and nobody carries it out. */
export class NoWorkerError extends LongwatchError {
  constructor(what: string, kept = '') {
    super(`${what}: no worker answers; start one with: npx longwatch worker${kept}`);
  }
}

/** Temporal and a worker are there, and the answer did not come in time. */
export class TimedOutError extends LongwatchError {}

/** The tracker refused a change; the message is its reason. */
export class RefusedError extends LongwatchError {
  override readonly usage = true;
}

/** Somebody has changed its options since they were read (`onlyIf`). Nothing was set. */
export class ChangedError extends LongwatchError {
  constructor(noun: string) {
    super(`somebody has changed ${noun} since it was read, so nothing was set; read it again`);
  }
}

/** Nothing has that idempotency key. */
export class UnknownKeyError extends RefusedError {}

export class UnknownBufferError extends LongwatchError {
  override readonly usage = true;
  constructor(name: string, hint: string, names: readonly string[]) {
    const known = names.length > 0 ? `; there are ${list(names)}` : '';
    super(`there is no buffer '${name}'${hint || known}; start one of the config with: npx longwatch start NAME`);
  }
}

/** A stopped buffer takes no entries, and nothing can be changed on it. Its entries are kept. */
export class BufferStoppedError extends LongwatchError {
  readonly accepted = false;
  constructor(readonly buffer: string) {
    super(`buffer '${buffer}' is stopped, so nothing was accepted; start it first: npx longwatch start ${buffer}`);
  }
}

/** The buffer's row says that it runs, and its workflow is gone (terminated in the Temporal UI, say). */
export class BufferGoneError extends LongwatchError {
  constructor(readonly buffer: string) {
    super(
      `the workflow of buffer '${buffer}' is gone; a worker brings it back within half a minute, ` +
        `or now: npx longwatch start ${buffer}`,
    );
  }
}

/** Entries that cannot be pushed; nothing was sent. */
export class InvalidEntryError extends LongwatchError {
  override readonly usage = true;
}

/** There is no such dead letter. */
export class UnknownLetterError extends InvalidEntryError {}

/** Said in time: the entries were not accepted. */
export class BufferFullError extends LongwatchError {
  readonly accepted = false;
  constructor(buffer: string) {
    super(
      `buffer '${buffer}' is full, and had no room in time; these entries were not accepted. ` +
        'Push them again later, or see what holds it: npx longwatch status',
    );
  }
}

/** No answer came: they may be accepted later or not. */
export class PushUnansweredError extends LongwatchError {
  readonly accepted = 'unknown';
  constructor(buffer: string, cause?: unknown) {
    super(`buffer '${buffer}' did not answer; whether it has accepted the entries is not known. Is a worker running?`, {
      cause,
    });
  }
}

const list = (names: readonly string[]): string => names.slice(0, 10).join(', ') + (names.length > 10 ? ', …' : '');

/** Its idempotency key stands for another request. Nothing was done. */
export class RequestDiffersError extends LongwatchError {
  override readonly usage = true;
  constructor() {
    super('this idempotency key was used for another request; each request needs a key of its own');
  }
}

/** The same request came a moment ago, and goes on. */
export class RequestGoesOnError extends LongwatchError {
  constructor() {
    super('a request with this idempotency key goes on; ask again for its answer');
  }
}

/** The process that had it ended before it could keep its answer. */
export class RequestUnansweredError extends LongwatchError {
  constructor() {
    super(
      'a request with this idempotency key was begun, and its answer was lost: it may have been done. ' +
        'Look first (npx longwatch audit), and send it with another key',
    );
  }
}

/** `doctor` has found something; what it is stands in its result. */
export class ProblemsFoundError extends LongwatchError {}
