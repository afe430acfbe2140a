/**
 * An operator's commands, written into the tracker's row and announced. Called by the root workflow; read by every
 * shift of the tracker (`shift/keep.ts`), at once by NOTIFY or at its next flush.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { type CommandMark, type TrackerOpening } from '../../../workflows/tracker/contract';
import { changeProblems, type TrackerOptions } from '../../../workflows/tracker/options';
import { failure } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { countMembers } from '../store/pools';
import {
  createTracker,
  notify,
  readTracker,
  setCommand,
  setState,
  storeChanges,
  storeOptions,
  type RowLock,
  type TrackerRow,
} from '../store/trackers';
import type { OptionChange } from '../../../workflows/lib/options';
import {
  NOTIFY_CHANNEL,
  type CommandResult,
  type ReconfigureResult,
  type RunState,
} from '../../../workflows/lib/contract';

/** A root that takes the tracker: the name of its opening, and whether its run is still the current one. */
export interface Taking {
  command: string;
  isCurrent: () => Promise<boolean>;
}

/**
 * With options: the tracker was just started, so its row is made or taken up and runs again. Without `taking` it is
 * only read. The row is read before Temporal is asked: a root that came meanwhile has left its name, and
 * this one looks again.
 */
export async function openTracker(
  database: Database,
  input: { tracker: string; options?: TrackerOptions },
  taking?: Taking,
): Promise<TrackerOpening> {
  const before = await database.transaction((db) => readTracker(db, input.tracker));
  if (taking && !(await taking.isCurrent())) {
    throw failure(
      ErrorType.TrackerNotCurrent,
      `another root workflow has taken the place of this one of ${input.tracker}`,
    );
  }
  return database.transaction(async (db) => {
    if (taking) await take(db, input, taking.command, before);
    const { state, pools, version, options, command } = await known(db, input.tracker, 'nothing');
    return { state, pools, version, options, command, members: await countMembers(db, input.tracker, null) };
  });
}

async function take(
  db: Queryable,
  { tracker, options }: { tracker: string; options?: TrackerOptions },
  command: string,
  before: TrackerRow | undefined,
): Promise<void> {
  if (options) await createTracker(db, tracker, options);
  const row = await known(db, tracker, 'all');
  // The answer to an earlier attempt was lost.
  if (row.command === command) return;
  if (row.command !== (before?.command ?? null)) throw new Error(`${tracker} was changed meanwhile; looking again`);
  if (options) {
    await storeOptions(db, tracker, options);
    if (row.state === 'stopped') await setState(db, tracker, 'running');
    await notify(db, NOTIFY_CHANNEL, { tracker });
  }
  await setCommand(db, tracker, command);
}

export async function setTrackerState(
  database: Database,
  input: { tracker: string; state: RunState; mark?: CommandMark },
): Promise<CommandResult> {
  return database.transaction(async (db) => {
    const changed = await carryOut(db, input, async (row) => {
      if (row.state === input.state) return false;
      await setState(db, input.tracker, input.state);
      return true;
    });
    return { state: input.state, changed };
  });
}

export async function declareOptions(
  database: Database,
  input: { tracker: string; options: TrackerOptions; mark?: CommandMark },
): Promise<ReconfigureResult> {
  return database.transaction(async (db) => {
    const changed = await carryOut(db, input, () => storeOptions(db, input.tracker, input.options));
    return { changed, version: (await known(db, input.tracker, 'nothing')).version };
  });
}

export async function setOptions(
  database: Database,
  input: { tracker: string; changes: OptionChange[]; expects?: number; mark?: CommandMark },
): Promise<ReconfigureResult> {
  return database.transaction(async (db) => {
    const changed = await carryOut(db, input, async (row) => {
      const problems = input.changes.flatMap((change) => changeProblems(row.options, change));
      if (problems.length > 0) throw failure(ErrorType.BadOption, problems.join('; '));
      return storeChanges(db, input.tracker, input.changes, input.expects);
    });
    return { changed, version: (await known(db, input.tracker, 'nothing')).version };
  });
}

/**
 * A command, once: of two attempts the second finds the name of the first. One that comes after a later command changes
 * nothing.
 * @param change tells whether it has changed anything; then it is announced, and the command is the last one.
 */
async function carryOut(
  db: Queryable,
  { tracker, mark }: { tracker: string; mark?: CommandMark },
  change: (row: TrackerRow) => Promise<boolean>,
): Promise<boolean> {
  const row = await known(db, tracker, 'all');
  if (mark && row.command === mark.is) return true;
  if (mark && row.command !== mark.after) {
    throw failure(ErrorType.Superseded, `${tracker} has had a later command; this one changes nothing`);
  }
  if (!(await change(row))) return false;
  if (mark) await setCommand(db, tracker, mark.is);
  await notify(db, NOTIFY_CHANNEL, { tracker });
  return true;
}

async function known(db: Queryable, tracker: string, lock: RowLock): Promise<TrackerRow> {
  const row = await readTracker(db, tracker, lock);
  if (!row) throw failure(ErrorType.UnknownTracker, `there is no tracker ${tracker} in the database`);
  return row;
}
