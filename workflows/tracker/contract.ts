/**
 * All that an outsider needs to talk to a tracker: the words, the ids, the signals, updates and
 * queries, and the activities that the two workflows call. Clients, workers and tests import this
 * file; the workflows carry it out (`tracker.ts`, `pool.ts`).
 */
import { defineQuery, defineSignal, defineUpdate } from '../lib/messages';
import type { TrackerOptions } from './options';
import type { OptionChange } from '../lib/options';
import type { RunState, CommandResult, ReconfigureResult } from '../lib/contract';

// ── Ids: each builder with its parser ────────────────────────────────────────────────────────

/** Workflow id of a tracker's root: `tracker/characters`. */
export const trackerWorkflowId = (tracker: string): string => `tracker/${tracker}`;

/** Workflow id of one pool: `pool/characters/12`. */
export const poolWorkflowId = (tracker: string, pool: number): string => `pool/${tracker}/${pool}`;

export function parsePoolWorkflowId(id: string): { tracker: string; pool: number } | undefined {
  const match = /^pool\/([^/]+)\/(\d+)$/.exec(id);
  return match ? { tracker: match[1]!, pool: Number(match[2]) } : undefined;
}

export function parseTrackerWorkflowId(id: string): string | undefined {
  return /^tracker\/([^/]+)$/.exec(id)?.[1];
}

/**
 * A task of a pool's workflow that its worker does not answer comes to another one after this long. A frozen process
 * swallows one, and a pool whose node has died may be behind it.
 */
export const POOL_TASK_TIMEOUT_MS = 5_000;

// ── Where shifts are scheduled ───────────────────────────────────────────────────────────────

/**
 * Pools that were born, or whose node died, come by this queue to any node; where the tracker has
 * `placement: { on: 'gpu' }`, to any node with that label.
 */
export const sharedShiftQueue = (label?: string): string =>
  label === undefined ? 'longwatch-shifts' : `longwatch-shifts-on-${label}`;

/** Pools that stay on a node, or that were given to it. */
export const nodeShiftQueue = (node: string): string => `longwatch-shifts-of-${node}`;

// ── What a sender says to a pool ─────────────────────────────────────────────────────────────

/**
 * Ids to add or remove. `stamp` orders changes of the same id over all senders (the last one wins);
 * it comes from the database's sequence `longwatch.stamp`. Without one, as in a signal typed by hand in
 * the Temporal UI, the change gets its stamp when it is applied. A bare id or a bare list of ids is taken too.
 */
export interface RosterMessage {
  ids: string[];
  stamp?: number;
}
export type RosterPayload = RosterMessage | string[] | string;

export const addSignal = defineSignal<[RosterPayload]>('add');
export const removeSignal = defineSignal<[RosterPayload]>('remove');
/** Starts a pool that has no workflow, and releases one that is in quarantine. */
export const wakeSignal = defineSignal<[{ release?: boolean }?]>('wake');
/**
 * The next shift of the pool is to be on that node; one that runs is asked to end. If that node does not take it,
 * it goes to the shared queue as always. A message without the name of a node counts as nothing said.
 */
export const moveSignal = defineSignal<[{ to: string }]>('move');

export interface PoolStatus {
  tracker: string;
  pool: number;
  state: 'opening' | 'on shift' | 'between shifts' | 'quarantined' | 'ending';
  members: number;
  shift: number;
  pendingChanges: number;
  lastShift?: ShiftResult;
  lastError?: string;
  /** The task queue of the shift that runs, or that comes next. */
  queue: string;
  /** An operator wants it there next. */
  wanted?: string;
  /** No node began the shift in this time (epoch milliseconds): none takes from that queue, or all are full. */
  unbegun?: Unbegun;
}
export const poolStatusQuery = defineQuery<PoolStatus>('status');

// ── What an operator says to a tracker's root ────────────────────────────────────────────────
export const pauseUpdate = defineUpdate<CommandResult, []>('pause');
export const resumeUpdate = defineUpdate<CommandResult, []>('resume');
export const stopUpdate = defineUpdate<CommandResult, []>('stop');
/** Replaces the definition's options (a new version of the config), keeps what was set by hand. */
export const declareUpdate = defineUpdate<ReconfigureResult, [TrackerOptions]>('declare');
/**
 * Sets (or, with `value: null`, unsets) single options by path while the tracker runs. With a number, only where that
 * is still the version of its row.
 */
export const reconfigureUpdate = defineUpdate<ReconfigureResult, [OptionChange[], number?]>('reconfigure');
/** Makes room for `members` before a bulk add; answers with the number of pools. */
export const ensureCapacityUpdate = defineUpdate<{ pools: number }, [{ members: number }]>('ensureCapacity');
/** A pool tells its root that it holds more than it should. */
export const grownSignal = defineSignal('grown');

export interface TrackerStatus {
  tracker: string;
  state: RunState;
  pools: number;
  members: number;
  options: TrackerOptions;
}
export const trackerStatusQuery = defineQuery<TrackerStatus>('status');

// ── Workflow inputs: the whole state is one argument, carried through continue-as-new ─────────

export interface RosterChange {
  id: string;
  change: 'add' | 'remove';
  /** See {@link RosterMessage.stamp}. */
  stamp?: number;
}

/** How the next shift of a pool is placed. Empty: by the shared queue, as one that was born. */
export interface PoolPlacement {
  /** By the queue of this node. */
  to?: string;
  /** How often the pool was handed on since it was last kept, and when for the first time, epoch milliseconds. */
  hops?: number;
  handedOnAtMs?: number;
  /** The node that kept it last, and is not known to have died. */
  from?: string;
}

export interface Unbegun {
  queue: string;
  sinceMs: number;
  untilMs: number;
  /** So often it was scheduled in that time. */
  times: number;
}

export interface PoolState {
  version: 1;
  shift: number;
  pending: RosterChange[];
  members: number;
  lastShift?: ShiftResult;
  lastError?: string;
  quarantined: boolean;
  placement?: PoolPlacement;
  /** An operator's wish: the node that is to have the next shift. */
  wanted?: string;
  unbegun?: Unbegun;
  /** The number of runs so far, continue-as-new included. */
  runs: number;
}

export interface PoolInput {
  tracker: string;
  pool: number;
  state?: PoolState;
}

export interface TrackerInput {
  tracker: string;
  /** The definition's data, resolved. Absent after continue-as-new and when a patrol restarts the root. */
  options?: TrackerOptions;
  runs?: number;
}

// ── The activities that the workflows call; built by `activities/tracker/index.ts` ───────────────────

export interface PoolOpening {
  state: RunState;
  members: number;
  pools: number;
  poolSize: number;
  shiftMs: number;
  /** The one that results from the tracker's and the number of shifts of the cluster (`placement/heartbeat.ts`). */
  heartbeatTimeoutMs: number;
  /** Continue-as-new at this many history events. */
  historyEvents: number;
  /** The label of the nodes that may keep it. Absent: any. */
  label?: string;
  /** A shift that no node has begun after this long is reported, and asked for again. */
  beginWithinMs: number;
}

export interface RosterApplied {
  added: number;
  removed: number;
  /** Members of the pool that applied, and how many it should hold: past that it asks its root for growth. */
  poolMembers: number;
  poolSize: number;
  /** Members of the fullest pool that it wrote to, where that may be another one (`route`). */
  fullest?: number;
}

export interface ShiftInput {
  tracker: string;
  pool: number;
  shift: number;
  durationMs: number;
  /**
   * How often the pool was handed on (moved or redirected) since it was last kept, and since when; absent: it was not.
   * 2 and more: whoever may keep it takes it.
   */
  hops?: number;
  waitedMs?: number;
  /** The node that kept it last: it gave it away, or it keeps it. Absent: the pool was born, or that node died. */
  from?: string;
}

export type ShiftEnd =
  | 'elapsed' // its time was up
  | 'asked' // its workflow cancelled it, to continue as new
  | 'handed back' // the node shuts down
  | 'moved' // the node gave it to another one
  | 'redirected' // it never began: another node should have it
  | 'stopped' // the tracker was stopped
  | 'fenced' // a newer holder has the pool
  | 'quarantined'; // it crashed too often in a row

export interface ShiftResult {
  end: ShiftEnd;
  node: string;
  /** The node that the next shift should be on: itself where it stays. Absent: any. */
  to?: string;
  members: number;
  ranMs: number;
  fetched: number;
  failed: number;
  skipped: number;
  /** The tracker's options as the shift last knew them: the next one goes by these. Absent in older results. */
  options?: ShiftOptions;
}

/** Options that the pool's workflow carries out, not the shift. */
export type ShiftOptions = Pick<PoolOpening, 'shiftMs' | 'heartbeatTimeoutMs' | 'historyEvents' | 'label'>;

export interface TrackerOpening {
  state: RunState;
  pools: number;
  members: number;
  version: number;
  options: TrackerOptions;
  /** The last command that has changed it; see {@link CommandMark}. */
  command?: string | null;
}

/**
 * Each command has a name of its own and names the one before it. An attempt that is held up and goes on after a later
 * one finds another name in the tracker's row, and changes nothing.
 */
export interface CommandMark {
  after: string | null;
  is: string;
}

export interface WakeInput {
  tracker: string;
  /** Only pools of this number and above. */
  from: number;
  /** Take them out of quarantine. */
  release?: boolean;
  quarantinedOnly?: boolean;
}

export interface TrackerActivities {
  /** Refuses (PoolNotCurrent) unless this run is the pool's current one; reads the layout and options. */
  openPool(input: { tracker: string; pool: number }): Promise<PoolOpening>;
  /** Writes members in one transaction and announces them. Applied twice, it changes nothing. */
  applyRoster(input: { tracker: string; pool: number; changes: RosterChange[] }): Promise<RosterApplied>;
  /** Writes down that no node has begun the pool's shift; whoever takes the pool takes that back. */
  noteUnbegun(input: { tracker: string; pool: number; unbegun: Unbegun }): Promise<void>;
  /** Keeps a pool for some minutes: all operations of all its members, on time. */
  shift(input: ShiftInput): Promise<ShiftResult>;
  /**
   * With `command`, the name of this opening: a root takes the tracker, if its run is the current one (else
   * TrackerNotCurrent), so that no command of an earlier one is carried out any more. Creates the row where there is
   * none (state running); stores a new definition's options. Without: only reads.
   */
  openTracker(input: { tracker: string; options?: TrackerOptions; command?: string }): Promise<TrackerOpening>;
  /** These three fail as Superseded where `mark.after` is not the last command. */
  setTrackerState(input: { tracker: string; state: RunState; mark?: CommandMark }): Promise<CommandResult>;
  declareOptions(input: { tracker: string; options: TrackerOptions; mark?: CommandMark }): Promise<ReconfigureResult>;
  setOptions(input: {
    tracker: string;
    changes: OptionChange[];
    expects?: number;
    mark?: CommandMark;
  }): Promise<ReconfigureResult>;
  /** Raises the number of pools, one by one, until all members fit, or `members` where that is more. */
  splitPools(input: { tracker: string; members?: number }): Promise<{ pools: number; members: number }>;
  /** Signals-with-start the pools that have members (and pool 0), so that each has its workflow. */
  wakePools(input: WakeInput): Promise<{ woken: number }>;
}

/** Payload of a NOTIFY. `pools` absent: the tracker's options, state or gate changed. */
export interface ChangeNotice {
  tracker: string;
  pools?: number[];
  /** Forces the shifts of these pools to crash (`longwatch crash`). */
  crash?: boolean;
}
