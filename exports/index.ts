/**
 * The public library: what a config module and a program import from `longwatch`. Light: the connection's packages
 * are loaded by `connect`, so that a config module, also in a worker thread, does not pay for them.
 */
import type { RegenDefinition } from '../config/define/job';
import type * as lazy from '../activities/job/lazy';
import type * as library from '../client/longwatch';
import type { ConnectOptions, Longwatch } from '../client/longwatch';

export { defineConfig } from '../config/define/config';
export type { ConfigDefinition, Defaults } from '../config/define/config';
export { resolveConfig } from '../config/resolve/config';
export type { ResolvedConfig } from '../config/resolve/config';
export type { Duration } from '../config/define/types';
export { defineOperation, defineTracker } from '../config/define/tracker';
export type {
  DefinedTracker,
  ErrorContext,
  GateDefinition,
  Json,
  OperationDefinition,
  Run,
  RunContext,
  RunResult,
  ValueCodec,
  Route,
  TrackerDefinition,
} from '../config/define/tracker';
export type {
  Address,
  Apply,
  Handler,
  LifeDefinition,
  LifeTypes,
  MemberContext,
  MessageOf,
  ReceiveDefinition,
  ReceiveOptions,
  Receiver,
  ReplyOf,
  StateDefinition,
  StateOf,
  TimerView,
  Trace,
  UnloadContext,
} from '../config/define/member';
export { defineActivity } from '../config/define/activity';
export type {
  ActivityContext,
  ActivityDefinition,
  AnyActivity,
  CompensationDefinition,
  LeaseDefinition,
  RetryDefinition,
  Transaction,
} from '../config/define/activity';
export { defineDecay, defineRegen, defineSweep } from '../config/define/job';
export type {
  DecayDefinition,
  RegenDefinition,
  RuleDefinition,
  SweepContext,
  SweepDefinition,
  SweepResult,
  SweepRow,
  TableName,
} from '../config/define/job';
export { defineBuffer, ok, retry } from '../config/define/buffer';
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
} from '../config/define/buffer';
export type { LazyRegen } from '../activities/job/lazy';
export type { DevHook } from '../config/define/dev-hook';
export { CodecError, ConfigError, EnvironmentError } from '../config/errors';
export { type ResolvedTracker } from '../config/resolve/tracker';
export { HoldError, TooLargeError } from '../config/define/errors';
export type { TrackerOptions } from '../workflows/tracker/options';
export type { BrokenCompensation, DurableHandle, KeyDetails, KeySummary, LeaseSummary } from '../client/durable/handle';
export type { AuditOptions, AuditPageOptions, AuditRow, CommandOptions, SetOptions } from '../client/audit';
export type { AwaitDrainedOptions, DrainOptions, DrainProgress, NodeHandle, WishResult } from '../client/cluster/node';
export type {
  ClusterReport,
  HeartbeatReport,
  LastMinute,
  NodeFigures,
  NodeReport,
  Verdict,
} from '../client/cluster/nodes';
export type { MoveResult } from '../client/cluster/move';
export type { FailedMove, Moved, MovesOptions, PoolMove } from '../client/cluster/moves';
export type { RebalanceOptions, RebalancePreview, RebalanceResult } from '../client/cluster/rebalance';
export type { BucketPart, BucketSummary, BudgetFilter, BudgetHandle, ClosedLimit } from '../client/budget';
export type { MemberBucket } from '../client/member-buckets';
export type { Finding } from '../client/doctor/check';
export type { Diagnosis, UnknownCheck } from '../client/doctor/doctor';
export * from '../client/errors';
export * from '../client/member/errors';
export type {
  DeadLetter,
  DeadLetterFilter,
  DeadLettersOptions,
  DeadLettersResult,
  MemberDeadLetters,
} from '../client/member/dead';
export type { MemberHandle } from '../client/member/handle';
export type {
  BriefLife,
  LivesFilter,
  MemberLife,
  MemberLifeDetails,
  MemberMessage,
  MemberStruckValue,
  MemberTimer,
  WaitingMail,
} from '../client/member/lives';
export type { RequestOptions, SendOptions } from '../client/member/letter';
export type { BufferHandle } from '../client/buffer/handle';
export type { PushOptions, PushResult } from '../client/buffer/push';
export type { BufferSummary } from '../client/buffer/status';
export type { DeadGroup, DeadReport } from '../client/buffer/dead-groups';
export type { DeadDetails, DeadEntry, DeadFilter, DeadLetters, DeadResult } from '../client/buffer/dead';
export type { ConnectOptions, Longwatch } from '../client/longwatch';
export type { Answered, Ended, OnceOptions } from '../client/once';
export type { JobHandle, RunProgress } from '../client/job/handle';
export type { FailedRowSummary, TickSummary } from '../client/job/ticks';
export type { JobSummary } from '../client/job/status';
export type { RosterOptions, RosterProgress, RosterResult } from '../client/tracker/roster';
export type { Setting } from '../client/settings';
export type { UpstreamHandle } from '../client/upstreams';
export type { NodeSummary, OperationSummary, ReplicaSummary, Status, TrackerSummary } from '../client/status';
export type { ReconcileResult, TrackerHandle } from '../client/tracker/handle';
export type { HeldBackSummary, WaitSummary } from '../client/tracker/waits';
export type {
  ErrorGroup,
  ErrorReport,
  FailingFilter,
  FailingMember,
  MembersFilter,
  MemberSummary,
} from '../client/tracker/lists';
export type { NextReason, NextRun, WaitReason } from '../client/tracker/next';
export type { Freshness, FreshnessCell, OldestMember, OperationInterval } from '../client/tracker/freshness';
export type { TrackerReads, TrackerUnitRow } from '../client/tracker/reads';
export type { Mark } from '../client/marks';
export type { Series, SeriesKind, SeriesOptions, SeriesPageOptions } from '../client/series';
export type { Page, PageOptions } from '../client/page';
export type { ListOptions, Member, MemberDetails, PoolSummary, StoredValue } from '../client/tracker/members';
export type { Alive, Place, PlaceState, TrackerCount } from '../client/tracker/questions';
export type { StartResult, Unit } from '../client/unit';
export type { CommandResult, ReconfigureResult, RunState } from '../workflows/lib/contract';

/**
 * Connects to a deployment: where it is comes from the options, else the environment (TEMPORAL_ADDRESS,
 * DATABASE_URL, …), else the development stack that runs in this folder.
 * @throws EnvironmentError when the environment cannot be read.
 */
export async function connect(options?: ConnectOptions): Promise<Longwatch> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when called; `import()` would go by the rules of ES modules
  return (require('../client/longwatch') as typeof library).connect(options);
}

/**
 * The lazy form of a regen with a `rule`: the value by now from what is stored and since when, as SQL and as a
 * function.
 * @throws ConfigError when it has no rule or no interval; TypeError when its expressions are beyond what `value`
 *   computes.
 */
export function lazyRegen(definition: RegenDefinition, options?: Parameters<typeof lazy.lazyRegen>[1]): lazy.LazyRegen {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when called, and synchronous
  return (require('../activities/job/lazy') as typeof lazy).lazyRegen(definition, options);
}
