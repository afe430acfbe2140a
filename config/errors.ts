/** Faults of a config, a setting or the environment: always the user's to mend, so shown without a stack. */
import { errorMessage } from '../workflows/lib/text';

/** Thrown with every problem that was found, each with the path where it stands. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** For example `trackers.characters.operations.location.evry is not an option; did you mean 'every'?` */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], headline?: string) {
    const lines = problems.map((problem) => (headline === undefined ? problem : `  - ${problem}`));
    super((headline === undefined ? lines : [headline, ...lines]).join('\n'));
    this.problems = problems;
  }
}

/** Nothing says where a server is. The message names every way to say it. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  /** True: what is given cannot be used. False: nothing is given, and no development stack runs here. */
  readonly usage: boolean;

  constructor(message: string, options: { usage?: boolean } = {}) {
    super(message);
    this.usage = options.usage ?? true;
  }
}

/**
 * The schema of the database and this version of Longwatch do not go together, or it cannot be changed. The message
 * says what to do.
 */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/** A codec of the user's failed. Its message is his; what it was to encode is not in it. */
export class CodecError extends Error {
  override readonly name = 'CodecError';
  constructor(way: 'encode' | 'decode', thrown: unknown) {
    const [reason] = errorMessage(thrown).split('\n');
    super(
      way === 'encode'
        ? `the payload codec could not encode, so nothing was written: ${reason}`
        : `the payload codec could not decode what is in Temporal: ${reason}; has it the keys that this was written with?`,
    );
  }
}

/**
 * Payloads would be written in clear where the workers encode them, or the other way round. The message says what to
 * do.
 */
export class EncodingError extends Error {
  override readonly name = 'EncodingError';
}

/** A worker of that name works already. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError';
  constructor(node: string, holder?: { host: string; pid: number }) {
    const where = holder ? ` (on ${holder.host}, process ${holder.pid})` : '';
    super(`a worker of the name ${node} is running${where}; give this one another with --name`);
  }
}

/** The port of the metrics page is taken, and no other may be used. */
export class MetricsPortError extends Error {
  override readonly name = 'MetricsPortError';
  constructor(port: number, host: string) {
    super(`the metrics port ${port} of ${host} is taken; give another with --metrics-port, or 0 for a free one`);
  }
}

/** A worker has ended, and something that it did had not. The process must not say that all went well. */
export class WorkLeftBehindError extends Error {
  override readonly name = 'WorkLeftBehindError';
  /** @param what it did: shifts, activities, workflows */
  constructor(readonly what: readonly string[]) {
    super(
      `the worker has ended, and left behind what did not end in time (${what.join(', ')}): another worker goes on with ` +
        'it once its heartbeats are missed; shutdownForceTime is how long it waits',
    );
  }
}
