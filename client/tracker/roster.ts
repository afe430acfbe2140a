/**
 * Adds and removals: what a change is opened with, then its ids, split over the pools and sent as signals-with-start,
 * and, where asked, waited for. Called by `handle.ts`, one function after the other. Next: the pool's workflow takes
 * the signal in (`workflows/tracker/pool.ts`).
 */
import {
  addSignal,
  POOL_TASK_TIMEOUT_MS,
  poolWorkflowId,
  removeSignal,
  type PoolInput,
  type RosterMessage,
  type RosterPayload,
} from '../../workflows/tracker/contract';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import type { pool as workflow } from '../../workflows/tracker/pool';
import { planBatches, type CollectedIds, type RosterBatch } from './ids';
import { COUNT_MEMBERS, OPEN_CHANGE } from './queries';
import { temporalCommon } from '../temporal-client';
import { waitApplied } from './wait-applied';
import { waitLive } from './wait-live';
import type { OptionChanges } from '../../workflows/lib/options';
import { TASK_QUEUE, type RunState } from '../../workflows/lib/contract';

/** Signals under way at once: the server takes a few hundred a second from one sender, whatever their number. */
const AT_ONCE = 16;

export interface RosterOptions {
  /**
   * Also wait until the change is in the database, which is when it holds. `'live'`: and, of ids that are added, until
   * live nodes keep their pools, unless the tracker is paused.
   * @default false
   */
  wait?: boolean | 'live';
  /** Give up when nothing more was applied for this long, milliseconds; the change stays accepted. @default 60,000 */
  waitTimeoutMs?: number;
  /** Called as ids are accepted and, with `wait`, applied. */
  onProgress?: (progress: RosterProgress) => void;
  /** Names the place of the n-th id (from 0) in the message about a bad one. */
  position?: (index: number) => string;
}

export interface RosterProgress {
  step: 'accepted' | 'applied';
  ids: number;
  total: number;
}

/** The outcome of a change that was sent: Temporal has it, durably. */
export interface RosterResult {
  /** Ids that Temporal has accepted. */
  accepted: number;
  /** Ids that came more than once in the call; each was sent once. */
  duplicates: number;
  signals: number;
  /** Pools that they went to. */
  pools: number;
  /** True: every id is in the database (`wait`). False: not known yet. */
  applied: boolean;
  /** `paused`: accepted, and watched when the tracker is resumed. */
  state: RunState;
}

/** The tracker's row when a change is opened, with the change's stamp. */
export interface OpenedChange {
  [column: string]: unknown;
  state: RunState;
  pools: number;
  options: TrackerOptions;
  changes: OptionChanges;
  stamp: number;
}

/** Undefined: there is no such tracker. */
export async function openChange(connections: Connections, tracker: string): Promise<OpenedChange | undefined> {
  return (await connections.rows<OpenedChange>(OPEN_CHANGE, [tracker]))[0];
}

/**
 * How many members a bulk add makes room for first: else it would go through the few pools that there are, and then
 * move again. Undefined: it is not that many.
 */
export async function membersToMakeRoomFor(
  connections: Connections,
  tracker: string,
  { options, changes }: OpenedChange,
  adding: number,
): Promise<number | undefined> {
  if (adding <= withChanges(options, changes).poolSize) return undefined;
  const [count] = await connections.rows<{ members: number }>(COUNT_MEMBERS, [tracker]);
  return (count?.members ?? 0) + adding;
}

/**
 * Sends a change to its pools, and waits until it is applied where that is asked for.
 * @param opened with the number of pools that the ids are split over
 * @throws TemporalUnavailableError saying how far it came
 */
export async function sendChange(
  connections: Connections,
  tracker: string,
  change: 'add' | 'remove',
  { ids, duplicates }: CollectedIds,
  opened: OpenedChange,
  options: RosterOptions,
): Promise<RosterResult> {
  const batches = planBatches(ids, opened.pools);
  await sendAll(connections, tracker, change, batches, opened.stamp, ids.length, options);
  if (options.wait) await waitApplied(connections, tracker, batches, opened.stamp, options);
  if (options.wait === 'live' && change === 'add') await waitLive(connections, tracker, ids, options);
  return {
    accepted: ids.length,
    duplicates,
    signals: batches.length,
    pools: new Set(batches.map((batch) => batch.pool)).size,
    applied: Boolean(options.wait),
    state: opened.state,
  };
}

async function sendAll(
  connections: Connections,
  tracker: string,
  change: 'add' | 'remove',
  batches: RosterBatch[],
  stamp: number,
  total: number,
  options: RosterOptions,
): Promise<void> {
  let accepted = 0;
  const done = () =>
    accepted === 0
      ? 'nothing was sent'
      : `${accepted} of ${total} ids were accepted and will hold; the same command again sends the rest and harms nothing`;
  const waiting = batches[Symbol.iterator]();
  let failed = false;
  const lane = async (): Promise<void> => {
    for (const batch of waiting) {
      if (failed) return;
      try {
        await connections.temporal((client) => send(client, tracker, change, batch, stamp), { withinMs: 20_000, done });
      } catch (error) {
        failed = true;
        throw error;
      }
      accepted += batch.ids.length;
      options.onProgress?.({ step: 'accepted', ids: accepted, total });
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, batches.length) }, lane));
  const failure = lanes.find((result) => result.status === 'rejected');
  if (failure) throw failure.reason;
}

/**
 * The SDK repeats what fails on the way (server gone, overloaded); should that signal twice, the stamp makes the second
 * one change nothing.
 */
async function send(
  client: Parameters<Parameters<Connections['temporal']>[0]>[0],
  tracker: string,
  change: 'add' | 'remove',
  batch: RosterBatch,
  stamp: number,
): Promise<void> {
  const input: PoolInput = { tracker, pool: batch.pool };
  const message: RosterMessage = { ids: batch.ids, stamp };
  const { defineSearchAttributeKey, TypedSearchAttributes } = temporalCommon();
  await client.workflow.signalWithStart<typeof workflow, [RosterPayload]>('pool', {
    workflowId: poolWorkflowId(tracker, batch.pool),
    taskQueue: TASK_QUEUE,
    workflowTaskTimeout: POOL_TASK_TIMEOUT_MS,
    args: [input],
    signal: change === 'add' ? addSignal : removeSignal,
    signalArgs: [message],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `${tracker}, pool ${batch.pool}`,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: defineSearchAttributeKey('LongwatchTracker', 'KEYWORD'), value: tracker },
      { key: defineSearchAttributeKey('LongwatchPool', 'INT'), value: batch.pool },
    ]),
  });
}
