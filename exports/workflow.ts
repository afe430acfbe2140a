/**
 * For a user's own workflows: `import { durable, saga } from 'longwatch/workflow'`. Fit for the workflow
 * bundle.
 */
export {
  durable,
  type CompensableActivity,
  type DurableActivities,
  type DurableActivity,
  type DurableCallOptions,
} from '../workflows/durable/proxy';
export { isReference, type Reference } from '../workflows/durable/contract';
export { ErrorType } from '../workflows/lib/errors';
export { Saga, saga, type SagaOptions, type SagaOutcome, type StepOptions } from '../workflows/durable/saga';
