/** What is wrong with a config, a setting or the environment: always the user's to mend, so shown without a stack. */

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
