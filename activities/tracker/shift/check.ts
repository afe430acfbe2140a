/**
 * The first part of each flush, within its transaction: locks the fences, ends the shifts that have lost theirs, and
 * brings rosters and options of the others up to date. Called by `flush.ts`; what is ours afterwards may be written.
 */
import { performance } from 'node:perf_hooks';
import { readMemberBuckets } from '../../upstream/store/purse';
import { lockFences, type LockedPool } from '../store/fence';
import { run, type Queryable, type Statement } from '../../lib/database';
import { changedMembers, freshnessOf, membersOf } from '../store/members';
import { readSlots } from '../store/pools';
import { findStruck } from '../store/strikes';
import { readTracker } from '../store/trackers';
import type { PoolShift } from './pool-shift';
import type { FlushHost, Portion } from './portion';
import { ms } from '../../lib/sql';

/**
 * Rosters that are loaded within one transaction take this long together; the other pools come with the next one.
 * Milliseconds.
 */
const FOLLOW_MS = 200;

const VERSIONS: Statement = {
  name: 'tracker-versions',
  text: `select name, version::float8 as version, ${ms('clock_timestamp()')} as now
         from longwatch.tracker where name = any($1)`,
};

export interface Checked {
  /** Its fence is locked and ours: what it has may be written. */
  ours: Portion[];
  /** Somebody has the pool locked. */
  later: Portion[];
  /** There was no time for their rosters. */
  deferred: Portion[];
}

export async function checkShifts(db: Queryable, host: FlushHost, portions: readonly Portion[]): Promise<Checked> {
  const checked: Checked = { ours: [], later: [], deferred: [] };
  const states = await lockFences(
    db,
    portions.map(({ shift }) => shift.owner),
  );
  const until = performance.now() + FOLLOW_MS;
  for (const [index, portion] of portions.entries()) {
    const { shift, harvest } = portion;
    const state = states[index]!;
    if (state === 'fenced') {
      shift.breakOff('fenced');
      host.fenced(shift);
      continue;
    }
    if (state === 'later') {
      checked.later.push(portion);
      continue;
    }
    if (state.rosterVersion !== shift.rosterVersion) {
      // The first one always: each flush comes forward.
      if (checked.ours.length > 0 && performance.now() > until) {
        checked.deferred.push(portion);
        continue;
      }
      await followRoster(db, shift, state);
      shift.dropLeavers(harvest);
    }
    checked.ours.push(portion);
  }
  await followTrackers(
    db,
    host,
    checked.ours.map(({ shift }) => shift),
    until,
  );
  return checked;
}

async function followRoster(db: Queryable, shift: PoolShift, locked: LockedPool): Promise<void> {
  const { tracker, pool } = shift.claim;
  const slots = await readSlots(db, tracker, pool);
  const whole = shift.rosterVersion < locked.reloadVersion;
  const rows = whole
    ? await membersOf(db, tracker, slots)
    : await changedMembers(db, tracker, slots, shift.rosterVersion);
  const joining = rows.filter((row) => !row.removed && shift.members.slotOf(row.id) === undefined);
  const keys = joining.map((row) => row.key);
  const freshness = await freshnessOf(db, keys);
  const buckets = shift.purse && (await readMemberBuckets(db, keys));
  if (whole) shift.loadAll(rows, freshness, buckets);
  else shift.loadChanges(rows, freshness, buckets);
  shift.dropOutside(slots);
  shift.rosterVersion = locked.rosterVersion;
}

/** Reads the rows of trackers that have another version than one of their shifts, and lets those follow. */
async function followTrackers(
  db: Queryable,
  host: FlushHost,
  shifts: readonly PoolShift[],
  until: number,
): Promise<void> {
  if (shifts.length === 0) return;
  const names = [...new Set(shifts.map((shift) => shift.trackerName))];
  const asked = host.clock.now();
  const versions = await run<{ name: string; version: number; now: number }>(db, VERSIONS, [names]);
  if (versions[0]) host.clock.set(versions[0].now, asked);
  for (const { name, version } of versions) {
    const behind = shifts.filter((shift) => shift.trackerName === name && shift.trackerVersion !== version);
    if (behind.length === 0) continue;
    const row = await readTracker(db, name);
    if (!row) continue;
    host.trackers.set(name, row);
    let loaded = false;
    for (const shift of behind) {
      const begin = shift.beginningWith(row);
      // It stays behind until the next flush.
      if (begin.length > 0 && loaded && performance.now() > until) {
        shift.hinted = true;
        continue;
      }
      loaded ||= begin.length > 0;
      shift.follow(row, begin.length > 0 ? await freshnessOf(db, shift.members.allKeys(), begin) : []);
      // Its members take messages from now on.
      if (row.options.receive && host.turns && !shift.life && !shift.isOver) {
        const slots = await readSlots(db, name, shift.claim.pool);
        host.turns.keep(shift, slots, await findStruck(db, shift.claim, slots));
      }
    }
  }
}
