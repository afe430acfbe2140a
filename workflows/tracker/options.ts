/**
 * Every option of a tracker and its operations, once: kind, default, bounds and words. The config's resolver
 * (`config`), `config --set`, the running shift and the generated `docs/options.md` all read this
 * table. Values here are compiled: durations are whole milliseconds and end in `Ms`.
 */
import { laidOver, refusal, type OptionChange, type OptionChanges, type OptionSpec } from '../lib/options';
import { DAY, MINUTE, SECOND } from '../lib/time';

/** The options that a tracker's workflow, its row and its shifts carry. Plain JSON. */
export interface TrackerOptions {
  poolSize: number;
  shiftMs: number;
  heartbeatTimeoutMs: number;
  /** Undefined in rows that were stored before there was this option. */
  patienceMs?: number;
  flushMs: number;
  tombstonesMs: number;
  historyEvents: number;
  /** Undefined in rows that were stored before there was this option; ask {@link labelOf}. */
  placement?: { on: string | null };
  /** Null: no gate, every operation runs. */
  gate: GateOptions | null;
  operations: Record<string, OperationOptions>;
  /**
   * The giver of each option, by path; an option that is not listed is the built-in default. For people only
   * (`config`).
   */
  sources?: Record<string, 'defaults' | 'definition'>;
}

export interface GateOptions {
  everyMs: number;
  timeoutMs: number;
}

export interface OperationOptions {
  everyMs: number;
  concurrency: number;
  timeoutMs: number;
  stagger: { baseMs: number; windowMs: number };
  gated: boolean;
  enabled: boolean;
  isolate: boolean;
  skipWhile: { operation: string; slowerThanMs: number } | null;
  warnLagMs: number;
  warnBacklog: number;
  /** These three are absent in a row that was written before they were options: ask {@link boundsOf}. */
  maxExpiryMs?: number;
  maxHoldMs?: number;
  maxBackoffMs?: number;
  /** The version of the code. A new one asks anew: ETags and expiries of before do not count. Absent: 1. */
  version?: number;
}

export const TRACKER_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'poolSize',
    path: 'poolSize',
    kind: 'integer',
    default: 1_000,
    min: 1,
    max: 20_000,
    text: 'Members a pool should hold. Past it the tracker grows by splitting pools; an unsplit pool holds up to twice the others.',
  },
  {
    name: 'shift',
    path: 'shiftMs',
    kind: 'duration',
    default: 10 * MINUTE,
    min: SECOND,
    max: 12 * 60 * MINUTE,
    text: 'How long one activity execution keeps a pool, ± 20 % by hash so that pools do not hand over together.',
  },
  {
    name: 'heartbeatTimeout',
    path: 'heartbeatTimeoutMs',
    kind: 'duration',
    default: 5 * SECOND,
    min: SECOND,
    max: 10 * MINUTE,
    text: "A dead worker's pools are on other workers this long after its last heartbeat.",
  },
  {
    name: 'patience',
    path: 'patienceMs',
    kind: 'duration',
    default: 10 * SECOND,
    min: 2 * SECOND,
    max: 10 * MINUTE,
    text: 'How long a shift goes on while PostgreSQL refuses its results, or somebody has its pool locked; then another worker has a try.',
  },
  {
    name: 'flush',
    path: 'flushMs',
    kind: 'duration',
    default: 250,
    min: 10,
    max: SECOND,
    text: 'How often results are written. At most 1 s, for a shift learns at a flush that it was fenced.',
  },
  {
    name: 'tombstones',
    path: 'tombstonesMs',
    kind: 'duration',
    default: DAY,
    min: MINUTE,
    max: 365 * DAY,
    text: 'How long a removal is remembered, so that a late add with an older stamp cannot undo it.',
  },
  {
    name: 'historyEvents',
    path: 'historyEvents',
    kind: 'integer',
    default: 2_000,
    min: 10,
    max: 10_000,
    text: "Continue-as-new past this many events of a workflow's history (the server suggests it at 4,096).",
  },
  {
    name: 'placement.on',
    path: 'placement.on',
    kind: 'label',
    derived: 'any node',
    text: 'Only nodes that have this label (`longwatch worker --label`) keep its pools.',
  },
];

export const GATE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'gate.every',
    path: 'gate.everyMs',
    kind: 'duration',
    default: 30 * SECOND,
    min: 100,
    max: 60 * MINUTE,
    text: 'How often the gate is asked, once for the whole tracker.',
  },
  {
    name: 'gate.timeout',
    path: 'gate.timeoutMs',
    kind: 'duration',
    default: 10 * SECOND,
    min: 10,
    max: 10 * MINUTE,
    text: 'A check that takes longer has failed. Three failures in a row close the gate. So does an answer older than 3 × (every + timeout), 6 s at least.',
  },
];

export const OPERATION_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'every',
    path: 'everyMs',
    kind: 'duration',
    min: 50,
    max: 30 * DAY,
    text: 'The desired interval; `expiresAt` or a hold can lengthen it, nothing shortens it. When late, it runs once and counts what it skipped.',
  },
  {
    name: 'concurrency',
    path: 'concurrency',
    kind: 'integer',
    default: 50,
    min: 1,
    max: 10_000,
    text: 'Runs at once in one pool. All pools of a worker together keep to its `nodeConcurrency`.',
  },
  {
    name: 'timeout',
    path: 'timeoutMs',
    kind: 'duration',
    default: 5 * SECOND,
    min: 10,
    max: 60 * MINUTE,
    text: 'A run that takes longer is aborted (its AbortSignal fires) and counted as failed.',
  },
  {
    name: 'stagger.base',
    path: 'stagger.baseMs',
    kind: 'duration',
    default: 0,
    min: 0,
    max: DAY,
    text: 'The first run of a member comes this long after the pool opens or the member is added …',
  },
  {
    name: 'stagger.window',
    path: 'stagger.windowMs',
    kind: 'duration',
    derived: 'the interval',
    min: 0,
    max: DAY,
    text: '… plus a share of this window by the hash of its id. A few newcomers (no more than `concurrency`) do not wait for the window.',
  },
  {
    name: 'gated',
    path: 'gated',
    kind: 'boolean',
    default: true,
    text: 'Whether a closed gate stops the operation (it then runs `whenClosed`, where it has one). No meaning without a gate.',
  },
  {
    name: 'enabled',
    path: 'enabled',
    kind: 'boolean',
    default: true,
    text: 'False: the operation does not run at all.',
  },
  {
    name: 'isolate',
    path: 'isolate',
    kind: 'boolean',
    default: false,
    text: 'Run in a worker thread that is ended when a timeout does not stop it: for code that may never yield.',
  },
  {
    name: 'skipWhile.operation',
    path: 'skipWhile.operation',
    kind: 'name',
    derived: 'none',
    text: 'Backpressure: skip this operation while that one of the same pool lags …',
  },
  {
    name: 'skipWhile.slowerThan',
    path: 'skipWhile.slowerThanMs',
    kind: 'duration',
    default: SECOND,
    min: 1,
    max: DAY,
    text: '… by more than this.',
  },
  {
    name: 'warnLag',
    path: 'warnLagMs',
    kind: 'duration',
    default: 2 * SECOND,
    min: 1,
    max: DAY,
    text: 'A round that lags more is warned about and counted.',
  },
  {
    name: 'warnBacklog',
    path: 'warnBacklog',
    kind: 'integer',
    default: 50,
    min: 1,
    max: 1_000_000,
    text: 'More members due but not started at the half-minute check are warned about and counted.',
  },
  {
    name: 'maxExpiry',
    path: 'maxExpiryMs',
    kind: 'duration',
    derived: 'a day, or ten intervals where those are longer',
    min: SECOND,
    max: 365 * DAY,
    text: "A result's `expiresAt` further ahead is cut to this, so that `Expires: 2037` does not stop a member.",
  },
  {
    name: 'maxHold',
    path: 'maxHoldMs',
    kind: 'duration',
    default: 60 * MINUTE,
    min: SECOND,
    max: 7 * DAY,
    text: 'A hold that asks for longer is cut to this, then the upstream is asked again. Raise it where an upstream means its day-long `Retry-After`.',
  },
  {
    name: 'maxBackoff',
    path: 'maxBackoffMs',
    kind: 'duration',
    default: 10 * MINUTE,
    min: 0,
    max: DAY,
    text: 'An id that fails again and again by itself (4xx but 408, 420, 425 and 429, or `retryable: false`) is asked less often, up to this, while most others succeed. 0: always at its interval.',
  },
];

/** The label of the nodes that may keep a tracker's pools; undefined: any node may. */
export function labelOf({ placement }: Pick<TrackerOptions, 'placement'>): string | undefined {
  return placement?.on ?? undefined;
}

/** How far ahead an upstream may put an operation's next run, milliseconds. */
export function boundsOf(
  options: OperationOptions,
): Required<Pick<OperationOptions, 'maxExpiryMs' | 'maxHoldMs' | 'maxBackoffMs'>> {
  return {
    maxExpiryMs: options.maxExpiryMs ?? defaultMaxExpiryMs(options.everyMs),
    maxHoldMs: options.maxHoldMs ?? 60 * MINUTE,
    maxBackoffMs: options.maxBackoffMs ?? 10 * MINUTE,
  };
}

export function defaultMaxExpiryMs(everyMs: number): number {
  return Math.max(DAY, 10 * everyMs);
}

/**
 * A gate that is asked more often than each two seconds is closed by no hiccup of a process, a network or a database.
 * Milliseconds.
 */
const LEAST_GATE_TERM_MS = 2 * SECOND;

/**
 * How long after an answer of the gate the next one should be there at the latest. One that is older than three of
 * these is unknown.
 */
export function gateTermMs({ everyMs, timeoutMs }: GateOptions): number {
  return Math.max(LEAST_GATE_TERM_MS, everyMs + timeoutMs);
}

/** The row of the table for a compiled path such as `operations.location.everyMs`, or undefined. */
export function specOf(path: string): OptionSpec | undefined {
  const operation = /^operations\.[^.]+\.(.+)$/.exec(path);
  return operation
    ? OPERATION_OPTIONS.find((spec) => spec.path === operation[1])
    : [...TRACKER_OPTIONS, ...GATE_OPTIONS].find((spec) => spec.path === path);
}

/** Everything that is wrong with one change against the options it would change; empty: it may be made. */
export function changeProblems(options: TrackerOptions, change: OptionChange): string[] {
  const spec = specOf(change.path);
  if (!spec) return [`there is no option ${change.path}`];
  const operation = /^operations\.([^.]+)\./.exec(change.path)?.[1];
  if (operation !== undefined && !Object.hasOwn(options.operations, operation))
    return [`there is no operation ${operation}`];
  if (change.path.startsWith('gate.') && options.gate === null) return ['this tracker has no gate'];
  if (change.value === null) return [];
  const problem = refusal(spec, change.value);
  if (problem !== undefined) return [problem];
  if (spec.path === 'skipWhile.operation' && !Object.hasOwn(options.operations, String(change.value))) {
    return [`there is no operation ${String(change.value)}`];
  }
  // It would never run again: what is skipped does not catch up.
  if (spec.path === 'skipWhile.operation' && change.value === operation) return ['an operation cannot wait for itself'];
  return [];
}

/** The options with the changes laid over them. Changes must have passed {@link changeProblems}. */
export function withChanges(options: TrackerOptions, changes: OptionChanges): TrackerOptions {
  const result = laidOver(options, changes, {
    problems: changeProblems,
    missing: (key) => (key === 'skipWhile' ? { slowerThanMs: SECOND } : {}),
  });
  for (const operation of Object.values(result.operations)) {
    // A threshold set by hand where there is no operation to look at.
    if (operation.skipWhile?.operation === undefined) operation.skipWhile = null;
  }
  return result;
}
