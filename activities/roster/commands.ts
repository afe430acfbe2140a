/**
 * What an operator said, written into the tracker's row and announced. Called by the root workflow; read by every
 * shift of the tracker (`shift/keep.ts`), at once by NOTIFY or at its next flush.
 */
import { ErrorType } from '../../workflows/lib/errors';
import {
  NOTIFY_CHANNEL,
  type CommandResult,
  type ReconfigureResult,
  type TrackerOpening,
  type TrackerState,
} from '../../workflows/tracker/contract';
import { changeProblems, type OptionChange, type TrackerOptions } from '../../workflows/tracker/options';
import { failure } from '../failures';
import type { Database, Queryable } from '../store/database';
import { countMembers } from '../store/pools';
import {
  createTracker,
  notify,
  readTracker,
  setState,
  storeChanges,
  storeOptions,
  type TrackerRow,
} from '../store/trackers';

/** With options: the tracker was just started, so its row is made or taken up and runs again. Without: only read. */
export async function openTracker(
  database: Database,
  input: { tracker: string; options?: TrackerOptions },
): Promise<TrackerOpening> {
  return database.transaction(async (db) => {
    if (input.options) {
      await createTracker(db, input.tracker, input.options);
      await storeOptions(db, input.tracker, input.options);
      const row = await known(db, input.tracker, 'all');
      if (row.state === 'stopped') await setState(db, input.tracker, 'running');
      await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker });
    }
    const { state, pools, version, options } = await known(db, input.tracker, 'nothing');
    return { state, pools, version, options, members: await countMembers(db, input.tracker, null) };
  });
}

export async function setTrackerState(
  database: Database,
  input: { tracker: string; state: TrackerState },
): Promise<CommandResult> {
  return database.transaction(async (db) => {
    const row = await known(db, input.tracker, 'all');
    if (row.state === input.state) return { state: row.state, changed: false };
    await setState(db, input.tracker, input.state);
    await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker });
    return { state: input.state, changed: true };
  });
}

export async function declareOptions(
  database: Database,
  input: { tracker: string; options: TrackerOptions },
): Promise<ReconfigureResult> {
  return database.transaction(async (db) => {
    const changed = await storeOptions(db, input.tracker, input.options);
    return announce(db, input.tracker, changed);
  });
}

export async function setOptions(
  database: Database,
  input: { tracker: string; changes: OptionChange[] },
): Promise<ReconfigureResult> {
  return database.transaction(async (db) => {
    const row = await known(db, input.tracker, 'all');
    const problems = input.changes.flatMap((change) => changeProblems(row.options, change));
    if (problems.length > 0) throw failure(ErrorType.BadOption, problems.join('; '));
    const changed = await storeChanges(db, input.tracker, input.changes);
    return announce(db, input.tracker, changed);
  });
}

async function announce(db: Queryable, tracker: string, changed: boolean): Promise<ReconfigureResult> {
  if (changed) await notify(db, NOTIFY_CHANNEL, { tracker });
  return { changed, version: (await known(db, tracker, 'nothing')).version };
}

async function known(db: Queryable, tracker: string, hold: 'nothing' | 'all'): Promise<TrackerRow> {
  const row = await readTracker(db, tracker, hold);
  if (!row) throw failure(ErrorType.UnknownTracker, `there is no tracker ${tracker} in the database`);
  return row;
}
