/**
 * The errors of the development stack, one class a cause. The command line shows `message` and nothing else.
 */

/** Another `longwatch dev` runs on the same folder. */
export class AlreadyRunningError extends Error {
  override readonly name = 'AlreadyRunningError';
  constructor(
    /** The pid of the `longwatch dev` that has the folder. */
    readonly pid: number,
    readonly dir: string,
  ) {
    super(`longwatch dev is already running here (pid ${pid}, folder ${dir}). End it first, or work with it.`);
  }
}

/** No Temporal server was given, and none could be found or fetched. */
export class TemporalNotFoundError extends Error {
  override readonly name = 'TemporalNotFoundError';
}

/** A server of the development stack could not be started; the message holds the last lines of its log. */
export class DevServerError extends Error {
  override readonly name = 'DevServerError';
}

/** A port that was asked for, or chosen a moment ago, belongs to somebody else. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';
  constructor(
    readonly port: number,
    what: string,
  ) {
    super(`Port ${port} for ${what} is taken on 127.0.0.1. Name another one, or leave it out for a free one.`);
  }
}
