/**
 * The public library: what a config module and a program import from `longwatch`. Light: the connection's packages
 * are loaded by `connect`, so that a config module, also in a worker thread, does not pay for them.
 */
import type { RegenDefinition } from '../workers/config/population';
import type * as lazy from '../workers/config/lazy-regen';
import type * as library from './longwatch';
import type { ConnectOptions, Longwatch } from './longwatch';

export { defineConfig, defineTracker } from '../workers/config/definition';
export type {
  ConfigDefinition,
  Defaults,
  Duration,
  ErrorContext,
  GateDefinition,
  Json,
  OperationDefinition,
  Run,
  RunContext,
  RunResult,
  TrackerDefinition,
} from '../workers/config/definition';
export { defineActivity } from '../workers/config/activity';
export type {
  ActivityContext,
  ActivityDefinition,
  AnyActivity,
  CompensationDefinition,
  LeaseDefinition,
  RetryDefinition,
  Transaction,
} from '../workers/config/activity';
export { defineDecay, defineRegen, defineSweep } from '../workers/config/population';
export type {
  DecayDefinition,
  RegenDefinition,
  RuleDefinition,
  SweepContext,
  SweepDefinition,
  SweepResult,
  SweepRow,
  TableName,
} from '../workers/config/population';
export { defineBuffer, ok, retry, TooLargeError } from '../workers/config/buffer';
export type {
  AnyBuffer,
  BatchAnswer,
  BatchContext,
  BatchErrorContext,
  BufferDefinition,
  InitContext,
  InitPage,
  Ok,
  Retry,
  RetryOptions,
  RetryPolicy,
} from '../workers/config/buffer';
export type { LazyRegen } from '../workers/config/lazy-regen';
export type { DevHook } from '../workers/config/dev-hook';
export { CodecError, ConfigError, EnvironmentError } from '../workers/config/errors';
export { resolveConfig, type ResolvedConfig, type ResolvedTracker } from '../workers/config/resolve';
export { HoldError } from '../activities/upstream/errors';
export type { TrackerOptions } from '../workflows/tracker/options';
export type { BrokenCompensation, DurableHandle, KeyDetails, LeaseSummary } from './durable';
export * from './errors';
export type { BufferHandle, BufferStartResult, PushOptions, PushResult } from './buffer';
export type { BufferSummary } from './buffer-status';
export type { DeadDetails, DeadEntry, DeadFilter, DeadLetters, DeadResult } from './dead';
export type { ConnectOptions, Longwatch } from './longwatch';
export type { FailedRowSummary, JobHandle, JobStartResult, RunProgress, TickSummary } from './job';
export type { JobSummary } from './job-status';
export type { RosterOptions, RosterProgress, RosterResult } from './roster';
export type { Setting } from './settings';
export type { NodeSummary, OperationSummary, ReplicaSummary, Status, TrackerSummary } from './status';
export type {
  Member,
  MemberDetails,
  PoolSummary,
  ReconcileResult,
  StartResult,
  StoredValue,
  TrackerHandle,
} from './tracker';

/**
 * Connects to a deployment: where it is comes from the options, else the environment (TEMPORAL_ADDRESS,
 * DATABASE_URL, …), else the development stack that runs in this folder.
 * @throws EnvironmentError when the environment cannot be read.
 */
export async function connect(options?: ConnectOptions): Promise<Longwatch> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when called; `import()` would go by the rules of ES modules
  return (require('./longwatch') as typeof library).connect(options);
}

/**
 * The lazy form of a regen with a `rule`: the value by now from what is stored and since when, as SQL and as a function.
 * @throws ConfigError when it has no rule or no interval; TypeError when its expressions are beyond what `value` computes.
 */
export function lazyRegen(definition: RegenDefinition, options?: Parameters<typeof lazy.lazyRegen>[1]): lazy.LazyRegen {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when called, and synchronous
  return (require('../workers/config/lazy-regen') as typeof lazy).lazyRegen(definition, options);
}

export type { CommandResult } from '../workflows/lib/contract';
export type { ReconfigureResult } from '../workflows/lib/contract';
export type { RunState } from '../workflows/lib/contract';
