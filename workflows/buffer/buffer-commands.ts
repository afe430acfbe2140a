/**
 * The commands of an operator to a buffer's parent: each is carried out after the one before it, and told to the
 * shards. The handlers of `buffer.ts` call it; the rows are written by `activities/buffer/commands.ts`.
 */
import { ApplicationFailure, condition, proxyActivities } from '@temporalio/workflow';
import { ErrorType } from '../lib/errors';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';
import { Turns } from '../lib/turns';
import type { BufferActivities, BufferOpening } from './activities';
import type { BufferRun } from './buffer-run';
import { flushSignal, type BufferCommandResult, type BufferRunState } from './contract';
import { bufferChangeProblems, type BufferOptions } from './options';
import type { Pages } from './pages';
import type { Shards } from './shards';
import { BUFFER_TUNABLES } from './tunables';

const { openBuffer, setBufferState, declareBuffer, setBufferOptions } = proxyActivities<BufferActivities>({
  startToCloseTimeout: BUFFER_TUNABLES.commandMs,
  retry: RETRY,
});

/** The answer to a change of options. */
interface Changed {
  changed: boolean;
  version: number;
}

export class BufferCommands {
  private readonly turns: Turns<BufferOpening>;

  constructor(
    private readonly run: BufferRun,
    private readonly shards: Shards,
    private readonly pages: Pages,
  ) {
    // The loop looks whether it has come to the end of its history, whatever was said.
    this.turns = new Turns(
      () => run.opened,
      () => run.wake(),
    );
  }

  pause(): Promise<BufferCommandResult> {
    return this.inTurn((opened) => this.changeState(opened, 'paused'));
  }

  resume(): Promise<BufferCommandResult> {
    return this.inTurn((opened) => this.changeState(opened, 'running', { lift: true }));
  }

  stop(): Promise<BufferCommandResult> {
    return this.inTurn((opened) => this.changeState(opened, 'stopped'));
  }

  flush(): Promise<{ shards: number }> {
    return this.inTurn(async () => {
      await this.shards.tell(flushSignal, []);
      return { shards: this.run.state.shards };
    });
  }

  declare(options: BufferOptions): Promise<Changed> {
    return this.inTurn(async (opened) => {
      const result = await declareBuffer({ buffer: this.run.name, options });
      return this.reconfigured(opened, result, options);
    });
  }

  /** @param expects the version of the row, where nobody else may have changed it since */
  reconfigure(changes: OptionChange[], expects?: number): Promise<Changed> {
    return this.inTurn(async (opened) => {
      const result = await setBufferOptions({ buffer: this.run.name, changes, expects });
      return this.reconfigured(opened, result, opened.options);
    });
  }

  /** Before a change is let into the history. @throws BadOption */
  refuseBad(changes: OptionChange[]): void {
    const { opened } = this.run;
    const problems = opened ? changes.flatMap((change) => bufferChangeProblems(opened.options, change)) : [];
    if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
  }

  private inTurn<T>(command: (opened: BufferOpening) => Promise<T>): Promise<T> {
    return this.turns.take((opened) => {
      if (opened.state !== 'stopped') return command(opened);
      const { name } = this.run;
      throw ApplicationFailure.nonRetryable(`buffer ${name} is stopped; start it again`, ErrorType.BufferStopped);
    });
  }

  private async reconfigured<R extends Changed & { options?: BufferOptions }>(
    opened: BufferOpening,
    { options, ...result }: R,
    given: BufferOptions,
  ): Promise<Omit<R, 'options'>> {
    // An attempt whose answer was lost may have made the change: the row says so.
    if (!result.changed && result.version === opened.version) return result;
    Object.assign(opened, { options: options ?? given, version: result.version });
    await this.shards.start(opened);
    await this.shards.tellSettings(opened);
    this.run.describe(opened);
    this.run.wake();
    return result;
  }

  private async changeState(
    opened: BufferOpening,
    to: BufferRunState,
    more: { lift?: true } = {},
  ): Promise<BufferCommandResult> {
    const { run, pages } = this;
    const result = await setBufferState({ buffer: run.name, state: to });
    Object.assign(opened, await openBuffer({ buffer: run.name }));
    if (to === 'stopped') {
      // The entries of a page of `init` must come before the shards end.
      pages.giveUp();
      await condition(() => !pages.isReading);
    }
    await this.shards.tellSettings(opened, more);
    run.describe(opened);
    run.wake();
    return result;
  }
}
