/**
 * Sagas: steps that are taken back when a later one fails. Each step's compensation is registered when the step has
 * succeeded and is a durable activity of its own, so an undo survives a crash, happens once, and is tried again. The
 * registered compensations live in the workflow, so it goes on where it was. Used by users' workflows; what fails for
 * good is mended by `longwatch saga`.
 */
import { ActivityFailure, ApplicationFailure, CancellationScope, log, workflowInfo } from '@temporalio/workflow';
import { rootMessage, withoutCircle } from '../lib/chain';
import { compensationOf, taskId, type CompensationInput } from './contract';
import { durableActivity, type CompensableActivity } from './proxy';
import { ErrorType } from '../lib/errors';

export interface SagaOptions {
  /** One after the other, the last step first; or all at once. @default lifo */
  order?: 'lifo' | 'parallel';
}

export interface StepOptions {
  /**
   * Compensate the step also when it failed: for an effect outside of the database, of which a failure (a timeout, a
   * crash) does not say that it did not happen. The compensation's `result` is undefined then.
   * @default false
   */
  uncertain?: boolean;
}

export interface SagaOutcome {
  completed: number;
  /** The compensations that an operator has to see to. */
  failed: { activity: string; message: string }[];
}

interface Compensation {
  name: string;
  run: () => Promise<unknown>;
}

export class Saga {
  private readonly compensations: Compensation[] = [];

  constructor(private readonly options: SagaOptions = {}) {}

  /** Runs a durable activity, and registers its compensation once it has succeeded. */
  async step<I, R>(activity: CompensableActivity<I, R>, input: I, options: StepOptions = {}): Promise<R> {
    try {
      const { task, undo, value } = await activity.call(input);
      if (undo) this.register(activity, { target: task, input, result: value });
      return value as R;
    } catch (error) {
      if (options.uncertain && error instanceof ActivityFailure && error.activityId !== undefined) {
        this.register(activity, { target: taskId(workflowInfo().runId, error.activityId), input });
      }
      throw error;
    }
  }

  /** Registers anything else that is to be done in the same order; it must itself be safe to repeat. */
  add(name: string, run: () => Promise<unknown>): void {
    this.compensations.push({ name, run });
  }

  /**
   * Takes back what has succeeded. One that fails for good does not stop the others. Also in a cancelled workflow. A
   * second call does not do again what is done.
   */
  compensate(): Promise<SagaOutcome> {
    return CancellationScope.nonCancellable(async () => {
      const outcome: SagaOutcome = { completed: 0, failed: [] };
      const due = this.compensations.splice(0).reverse();
      const one = async ({ name, run }: Compensation): Promise<void> => {
        try {
          await run();
          outcome.completed += 1;
        } catch (error) {
          const message = rootMessage(error);
          log.error('a compensation failed for good', { activity: name, error: message });
          outcome.failed.push({ activity: name, message });
        }
      };
      if (this.options.order === 'parallel') await Promise.all(due.map(one));
      else for (const compensation of due) await one(compensation);
      return outcome;
    });
  }

  private register<I, R>(
    activity: CompensableActivity<I, R>,
    what: Pick<CompensationInput, 'target' | 'input' | 'result'>,
  ): void {
    const name = compensationOf(activity.activityName);
    const saga = workflowInfo().workflowId;
    const undo = durableActivity(name, activity.options);
    this.add(name, () => undo({ ...what, saga } satisfies CompensationInput));
  }
}

/**
 * Runs `body`; when it fails, takes its steps back and fails with the same error.
 * @throws CompensationFailed (its cause the error of `body`, its details the {@link SagaOutcome}) where a compensation
 *   failed for good.
 */
export async function saga<T>(body: (saga: Saga) => Promise<T>, options: SagaOptions = {}): Promise<T> {
  const steps = new Saga(options);
  try {
    return await body(steps);
  } catch (thrown) {
    const error = withoutCircle(thrown);
    const outcome = await steps.compensate();
    if (outcome.failed.length === 0) throw error;
    const names = outcome.failed.map(({ activity }) => activity).join(', ');
    throw ApplicationFailure.create({
      type: ErrorType.CompensationFailed,
      message: `${rootMessage(error)}; and ${names} failed for good: see longwatch saga list`,
      nonRetryable: true,
      details: [outcome],
      cause: error instanceof Error ? error : undefined,
    });
  }
}
