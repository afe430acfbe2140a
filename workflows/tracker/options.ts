/**
 * A tracker's options as they run: the types of the compiled values, what a change of one must be, and how changes are
 * laid over them. Used by the tracker's workflows, by shifts, by `config` and by clients. Values here are compiled:
 * durations are whole milliseconds and end in `Ms`. The tables are in `option-tables.ts`.
 */
import { laidOver, refusal, type OptionChange, type OptionChanges, type OptionSpec } from '../lib/options';
import { DAY, MINUTE, SECOND } from '../lib/time';
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from './option-tables';

export { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS };

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
  /** The name of the rule by which ids share a pool. Absent: each has its place by itself. */
  route?: string;
  /** Null: no gate, every operation runs. */
  gate: GateOptions | null;
  operations: Record<string, OperationOptions>;
  /** Absent: its members take no messages. */
  receive?: ReceiveOptions;
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

/** How the members of a tracker take messages. */
export interface ReceiveOptions {
  timeoutMs: number;
  concurrency: number;
  attempts: number;
  retryBaseMs: number;
  retryCapMs: number;
  maxMail: number;
  maxMailBytes: number;
  idleMs: number;
  /** The version of the state that the definition writes. */
  stateVersion: number;
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
  /** The name of the codec of its values; another one asks anew as well. Absent: they are stored as they are. */
  codec?: string;
  /** Its values are shown to nobody. Absent: they are. */
  hidden?: true;
  /** `awake`: it runs for members that are awake anyway. Absent: always. */
  while?: 'awake';
}

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
    : [...TRACKER_OPTIONS, ...GATE_OPTIONS, ...RECEIVE_OPTIONS].find((spec) => spec.path === path);
}

/** Everything that is wrong with one change against the options it would change; empty: it may be made. */
export function changeProblems(options: TrackerOptions, change: OptionChange): string[] {
  const spec = specOf(change.path);
  if (!spec) return [`there is no option ${change.path}`];
  const operation = /^operations\.([^.]+)\./.exec(change.path)?.[1];
  if (operation !== undefined && !Object.hasOwn(options.operations, operation))
    return [`there is no operation ${operation}`];
  if (change.path.startsWith('gate.') && options.gate === null) return ['this tracker has no gate'];
  if (change.path.startsWith('receive.') && !options.receive) return ['the members of this tracker take no messages'];
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
