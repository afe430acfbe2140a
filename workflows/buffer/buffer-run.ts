/**
 * The things that the parts of a buffer's parent share: its carried state, the buffer's row as the database told it
 * last, and the wake-up of the loop. Made by `buffer.ts`; used by `buffer-commands.ts`, `pages.ts` and `shards.ts`.
 */
import { ApplicationFailure, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { ErrorType } from '../lib/errors';
import type { BufferOpening } from './activities';
import type { BufferStatus } from './contract';
import { freshBufferState, initProgress } from './init';
import type { BufferInput, BufferState } from './state';

export class BufferRun {
  readonly name: string;
  /** The part that continue-as-new carries. */
  readonly state: BufferState;
  /** False for a run that continue-as-new began: its shards have heard what there is to hear. */
  readonly isFirst: boolean;
  /** The buffer's row. Undefined before the opening. */
  opened: BufferOpening | undefined;
  /** Raised by whatever may change the next step. */
  happenings = 0;

  constructor(input: BufferInput) {
    this.name = input.buffer;
    this.state = input.state ?? freshBufferState();
    this.isFirst = input.state === undefined;
  }

  get isStopped(): boolean {
    return this.opened?.state === 'stopped';
  }

  /** The loop looks at what comes next. */
  wake(): void {
    this.happenings++;
  }

  status(): BufferStatus {
    const { name, state, opened } = this;
    if (!opened) throw ApplicationFailure.nonRetryable(`buffer ${name} is opening`, ErrorType.UnknownBuffer);
    const { options, version } = opened;
    const init = initProgress(state, options, opened.state !== 'running');
    return { buffer: name, state: opened.state, shards: state.shards, options, version, init };
  }

  /** Shows a person the buffer in the Temporal UI. */
  describe({ state: runState, options }: BufferOpening): void {
    setCurrentDetails(
      `**${this.name}**: ${runState}, ${this.state.shards} shards, batches of up to ${options.maxBatchSize}, run ${workflowInfo().runId}`,
    );
  }
}
