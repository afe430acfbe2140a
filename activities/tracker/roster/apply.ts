/**
 * From a pool's workflow to the member rows: `applyRoster` writes what was accepted, in one transaction, and announces
 * it. The next reader is the shift that keeps the pool (`shift/keep.ts`), at once by NOTIFY or at its next flush.
 */
import type { Logger } from 'pino';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';
import { ErrorType } from '../../../workflows/lib/errors';
import { type RosterApplied, type RosterChange } from '../../../workflows/tracker/contract';
import { effectivePoolSize, poolOf } from '../../../workflows/tracker/plan';
import { errorOf, failure } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { reach } from '../../lib/points';
import { placingOf, type Placing } from '../route';
import { nextStamps, placesOf, writeMembers, type MemberChange, type StoredPlace } from '../store/members';
import { addToCounts, countMembers, raiseVersions, reloadPools, writtenPools } from '../store/pools';
import { endLives } from '../store/ended-lives';
import { announce, replyAnnouncements } from '../store/mail-notices';
import { notify, readTracker, type TrackerRow } from '../store/trackers';

export interface ApplyInput {
  tracker: string;
  pool: number;
  changes: RosterChange[];
}

/** The worker that applies: its definitions, and the way to the workflows of other pools. */
export interface Applier {
  definitions: ReadonlyMap<string, Pick<TrackerDefinition, 'route'>>;
  wakePool: (tracker: string, pool: number) => Promise<void>;
  log: Pick<Logger, 'warn'>;
}

/** Without an applier no tracker has a route, and nobody is woken. */
export async function applyRoster(database: Database, input: ApplyInput, applier?: Applier): Promise<RosterApplied> {
  const { applied, begun, answered } = await database.transaction((db) => applyIn(db, input, applier));
  // A client that could not be told looks each second.
  await announce((...ask) => database.rows(...ask), replyAnnouncements(answered)).catch(() => undefined);
  // One that cannot be woken now is found by the patrol.
  for (const pool of begun) {
    await applier?.wakePool(input.tracker, pool).catch((thrown: unknown) => {
      applier.log.warn({ tracker: input.tracker, pool, err: errorOf(thrown) }, 'a pool that has members was not woken');
    });
  }
  return applied;
}

async function applyIn(db: Queryable, input: ApplyInput, applier: Applier | undefined) {
  // Shared: many pools apply at once, and none of them while the layout changes.
  const tracker = await readTracker(db, input.tracker, 'shared');
  if (!tracker) throw failure(ErrorType.UnknownTracker, `there is no tracker ${input.tracker} in the database`);

  const { changes, left } = await placed(db, tracker, input.changes, placingFor(tracker, applier));
  const pools = [...new Set([...changes.map((change) => change.pool), ...left])];
  await raiseVersions(db, input.tracker, pools);
  await reloadPools(db, input.tracker, left);
  await reach('apply.locked');
  const { added, removed, counts, gone } = await writeMembers(db, input.tracker, changes);
  await addToCounts(db, input.tracker, counts);
  // With a member its state, its timers and its mail go; who waits for an answer has one.
  const receives = tracker.options.receive !== undefined && gone.length > 0;
  const answered = receives ? await endLives(db, input.tracker, gone) : [];
  await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker, pools });

  const elsewhere = new Map([...counts].filter(([pool]) => pool !== input.pool));
  const others = await writtenPools(db, input.tracker, elsewhere);
  const poolMembers = await countMembers(db, input.tracker, input.pool);
  const applied: RosterApplied = {
    added,
    removed,
    poolMembers,
    poolSize: effectivePoolSize(tracker.options.poolSize, poolMembers * tracker.pools),
    ...(tracker.routed && { fullest: Math.max(poolMembers, ...others.map(({ members }) => members)) }),
  };
  const begun = others.filter(({ begins, members }) => begins && members > 0).map(({ pool }) => pool);
  return { applied, begun, answered };
}

/** An id for which the route fails has its place by itself: it is tracked, and harms none of the others. */
function placingFor({ name, options }: TrackerRow, applier: Applier | undefined): Placing {
  let told = false;
  return placingOf(name, options.route, applier?.definitions.get(name), (error, id) => {
    if (!told) {
      applier?.log.warn(
        { tracker: name, route: options.route, id, err: error },
        'the route of an id has failed; it has its place by itself (others of the same batch are not logged)',
      );
    }
    told = true;
  });
}

/**
 * One change an id, the one with the greatest stamp, its pool by today's layout: a sender that knew an older one does
 * no harm. A member stays where it is, whatever its route says by now.
 * @returns also the pools that members have left for another one: their shifts may still have them
 */
async function placed(
  db: Queryable,
  tracker: TrackerRow,
  given: RosterChange[],
  placing: Placing,
): Promise<{ changes: MemberChange[]; left: number[] }> {
  const last = await lastOfEach(db, given);
  const stored = tracker.routed ? await placesOf(db, tracker.name, [...last.keys()]) : new Map<string, StoredPlace>();
  const left = new Set<number>();
  const changes = [...last.values()].map(({ id, stamp, change }) => {
    const before = stored.get(id);
    const hash = before && !before.removed ? before.hash : placing(id);
    const pool = poolOf(hash, tracker.pools);
    if (before && poolOf(before.hash, tracker.pools) !== pool) left.add(poolOf(before.hash, tracker.pools));
    return { id, hash, pool, stamp, removed: change === 'remove' };
  });
  return { changes, left: [...left] };
}

/** Changes without a stamp (typed by hand) get one each, in their order. */
async function lastOfEach(db: Queryable, changes: RosterChange[]): Promise<Map<string, Required<RosterChange>>> {
  const last = new Map<string, Required<RosterChange>>();
  const stamps = await nextStamps(db, changes.filter(({ stamp }) => stamp === undefined).length);
  let used = 0;
  for (const { id, change, stamp: given } of changes) {
    const stamp = given ?? stamps[used++]!;
    const earlier = last.get(id);
    if (!earlier || earlier.stamp <= stamp) last.set(id, { id, change, stamp });
  }
  return last;
}
