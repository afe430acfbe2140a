/**
 * One flush of a node, called by `writer.ts`: a transaction of values, and of nothing else, for all shifts that have
 * something or have not been looked at for a while. `check.ts` begins it: only what is ours under a locked fence is
 * written.
 *
 * A transaction that fails is not a reason to keep everybody waiting. After an error that is not an outage each shift
 * is written alone, and in the shift that fails each row (`alone.ts`). Users' code never runs in here; what a feed
 * needs of it is asked before.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import { reach } from '../../lib/points';
import { isOutage, type Database, type Queryable } from '../../lib/database';
import { isPassing } from '../../lib/sqlstate';
import { MEMBER } from '../member/constants';
import { valueRows } from '../member/writer';
import { type Rows } from '../store/values';
import { writeAlone, type WrittenAlone } from './alone';
import { checkShifts } from './check';
import type { FedEntries } from './feed';
import type { Room } from './pending';
import type { PoolShift } from './pool-shift';
import type { Failure, Success } from './results';
import type { FlushHost, Portion } from './portion';
import { portionOf, settlePortion, writeBuckets, writeFailed, writeValues } from './portion';

/** One transaction takes this much at most, so that nobody who wants one of its fences waits long. */
const ROOM: Readonly<Room> = { rows: 50_000, bytes: 32 * 2 ** 20 };
/** Shifts that are written alone may keep the others waiting for this long in one flush. Milliseconds. */
const ALONE_MS = 500;
const FOREIGN_KEY = '23503';
const ALONE_LIMITS = { statementTimeoutMs: 1_000, lockTimeoutMs: 100 };

export interface Flushed {
  rows: number;
  /** Something is left that need not wait for the next interval. */
  more: boolean;
  error?: Error;
}

export class Flush {
  /** Shifts that are written alone: a transaction that they were in has failed. */
  private readonly apart = new Set<PoolShift>();
  /** Another shift comes first each time. */
  private turn = 0;

  constructor(
    private readonly database: Pick<Database, 'transaction'>,
    private readonly host: FlushHost,
  ) {}

  /** Never throws; what could not be written waits again in its shift. */
  async run(shifts: readonly PoolShift[]): Promise<Flushed> {
    for (const shift of this.apart) if (!this.host.shifts.has(shift)) this.apart.delete(shift);
    const from = this.turn++ % Math.max(1, shifts.length);
    const order = [...shifts.slice(from), ...shifts.slice(0, from)];
    const began = performance.now();
    const together = await this.together(order.filter((shift) => !this.apart.has(shift)));
    let alone: Flushed = { rows: 0, more: false };
    if (!isOutage(together.error)) {
      alone = await this.eachAlone(
        order.filter((shift) => this.apart.has(shift)),
        together.rows > 0,
      );
    }
    // A shift that was not tried would have been refused as well.
    if (isOutage(together.error ?? alone.error)) for (const shift of order) shift.refused(began);
    return {
      rows: together.rows + alone.rows,
      more: together.more || alone.more,
      error: together.error ?? alone.error,
    };
  }

  private async together(shifts: readonly PoolShift[]): Promise<Flushed> {
    if (shifts.length === 0) return { rows: 0, more: false };
    const began = performance.now();
    const room = this.room();
    const portions = shifts.map((shift) => portionOf(shift, room));
    const fed = this.host.feed?.entriesOf(portions);
    let checked;
    let rows: number;
    try {
      [checked, rows] = await this.database.transaction(async (db) => {
        const found = await checkShifts(db, this.host, portions);
        await reach('flush.locked');
        const written = await this.write(db, found.ours, fed);
        await writeBuckets(db, found.ours);
        await reach('flush.written');
        return [found, written] as const;
      });
    } catch (thrown) {
      const error = errorOf(thrown);
      this.host.feed?.rolledBack();
      if (!isOutage(error)) this.host.log.warn({ err: error }, 'a flush failed; each pool is written by itself');
      for (const portion of portions) {
        settlePortion(portion, false);
        if (!isOutage(error)) this.apart.add(portion.shift);
      }
      return { rows: 0, more: false, error };
    }
    await reach('flush.committed');
    this.host.feed?.committed();
    for (const portion of checked.ours) this.written(portion, began);
    for (const portion of checked.later) {
      settlePortion(portion, false);
      portion.shift.refused(began);
    }
    for (const portion of checked.deferred) {
      settlePortion(portion, false);
      portion.shift.hinted = true;
    }
    return { rows, more: checked.deferred.length > 0 || room.rows <= 0 || room.bytes <= 0 };
  }

  /** Less where turns wait for the connection. */
  private room(): Room {
    const { rows, bytes } = this.host.limits?.transaction ?? ROOM;
    return { rows: valueRows(this.host.turnsWait ?? false, rows, MEMBER), bytes };
  }

  private async write(db: Queryable, ours: readonly Portion[], fed: FedEntries | undefined): Promise<number> {
    const successes: Rows<Success>[] = [];
    const failures: Rows<Failure>[] = [];
    let rows = 0;
    for (const { harvest } of ours) {
      for (const [{ name: operation }, taken] of harvest) {
        rows += taken.successes.size + taken.failures.size;
        if (taken.successes.size > 0) successes.push({ operation, rows: taken.successes.values() });
        if (taken.failures.size > 0) failures.push({ operation, rows: taken.failures.values() });
      }
    }
    if (successes.length > 0) await writeValues(db, successes, fed, this.host);
    if (failures.length > 0) await writeFailed(db, failures, this.host);
    return rows;
  }

  /**
   * Each in a transaction of its own, as many as there is time for.
   * @param others whether rows of others could be written just now
   */
  private async eachAlone(shifts: readonly PoolShift[], others: boolean): Promise<Flushed> {
    const until = performance.now() + ALONE_MS;
    const total: Flushed = { rows: 0, more: false };
    const broken: { shift: PoolShift; error: Error }[] = [];
    for (const shift of shifts) {
      const began = performance.now();
      if (began > until) {
        total.more = true;
        break;
      }
      if (began < shift.refusals.notBefore) continue;
      try {
        const { rows, more } = await this.alone(shift, began);
        total.rows += rows;
        total.more ||= more;
      } catch (thrown) {
        const error = errorOf(thrown);
        total.error = error;
        if (isOutage(error)) break;
        shift.refused(began);
        shift.log.error({ err: error }, "this pool's results cannot be written; they are kept for the next flush");
        if (!isPassing(error)) broken.push({ shift, error });
      }
    }
    // If nothing at all can be written, no shift is to blame: they wait for whoever mends the store, as in an
    // outage.
    if (others || total.rows > 0) for (const { shift, error } of broken) shift.breakOff(error);
    return total;
  }

  /** One shift in a transaction of its own; it stays apart until that has written all it had. */
  private async alone(shift: PoolShift, began: number): Promise<{ rows: number; more: boolean }> {
    const room = this.room();
    const portion = portionOf(shift, room);
    const fed = this.host.feed?.entriesOf([portion]);
    let written: WrittenAlone | 'later' | undefined;
    try {
      written = await this.database.transaction(async (db) => {
        const { ours, later } = await checkShifts(db, this.host, [portion]);
        if (ours.length === 0) return later.length > 0 ? 'later' : undefined;
        await reach('flush.locked');
        await writeBuckets(db, [portion]);
        return writeAlone(db, portion, fed, this.host);
      }, ALONE_LIMITS);
    } catch (thrown) {
      this.host.feed?.rolledBack();
      settlePortion(portion, false);
      throw thrown;
    }
    this.host.feed?.committed();
    if (written === undefined) {
      this.apart.delete(shift);
      return { rows: 0, more: false };
    }
    if (written === 'later') {
      settlePortion(portion, false);
      shift.refused(began);
      return { rows: 0, more: false };
    }
    // First: a failure that was not tried is counted with what was refused before it.
    shift.putBack(written.left);
    for (const { loop, slot, result, error } of written.refused) {
      loop.refuse(slot, result);
      this.host.onError(error, loop, shift.members.id(slot));
      // Its member is not there, although the roster says so: it is read anew.
      if ((error as { code?: unknown }).code === FOREIGN_KEY) shift.rosterVersion = -1;
    }
    this.written(portion, began);
    const more = written.left.size > 0 || room.rows <= 0 || room.bytes <= 0;
    if (!more) this.apart.delete(shift);
    return { rows: written.rows, more };
  }

  private written(portion: Portion, began: number): void {
    const { shift, harvest } = portion;
    settlePortion(portion, true);
    shift.checked(began);
    const applied: number[] = [];
    for (const [loop, { successes }] of harvest) {
      loop.counts.fetched += successes.size;
      if (!loop.definition.apply) continue;
      for (const { json, key } of successes.values()) if (json !== null) applied.push(key);
    }
    if (applied.length > 0) shift.life?.wrote(applied);
  }
}
