/**
 * One shift's part of a flush, written by itself after a transaction that failed with it: row by row where that is what
 * it takes, so that a row that cannot be stored becomes its member's failure and nobody else's. Called by `flush.ts`
 * within a transaction that has the shift's fence; what it returns holds when that has committed.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import type { Queryable } from '../../lib/database';
import { classOf, isPassing } from '../../lib/sqlstate';
import { errorText } from '../../../workflows/lib/text';
import { type Rows } from '../store/values';
import type { FedEntries } from './feed';
import type { OperationLoop } from './operation';
import type { Harvest } from './harvest';
import type { Failure, Success } from './results';
import { writeFailed, writeValues, type FlushHost, type Portion } from './portion';

/** Rows are divided for this long at most; what is not tried by then waits for the next flush. Milliseconds. */
const DIVIDE_MS = 300;
/**
 * So many rows that fail one by one for a reason that is not a row's own, and none that can be written, are enough to
 * know.
 */
const ALL_ALIKE = 5;

interface Row<T> {
  loop: OperationLoop;
  slot: number;
  result: T;
}

/** A result that the store will not have. */
export interface Refused extends Row<Success | Failure> {
  error: Error;
}

export interface WrittenAlone {
  rows: number;
  refused: Refused[];
  /** Not tried. */
  left: Harvest;
}

export async function writeAlone(
  db: Queryable,
  { harvest }: Portion,
  fed: FedEntries | undefined,
  host: FlushHost,
): Promise<WrittenAlone> {
  const until = performance.now() + DIVIDE_MS;
  const values = new Division<Success>(db, until, host, (rows) => writeValues(db, rows, fed, host));
  const storeFailures = (rows: Rows<Failure>[]) => writeFailed(db, rows, host);
  const refusals = new Division<Failure>(db, until, host, storeFailures);
  const failures = new Division<Failure>(db, until, host, storeFailures);
  const left: Harvest = new Map();
  const putOff = ({ name }: OperationLoop, slot: number) => waiting.has(`${name}/${slot}`);
  for (const [loop, { successes }] of harvest) {
    await values.write([...successes].map(([slot, result]) => ({ loop, slot, result })));
  }
  values.mustBeTheRows();
  for (const { loop, slot, result } of values.left) takenOf(left, loop).successes.set(slot, result);
  const waiting = new Set(values.left.map(({ loop, slot }) => `${loop.name}/${slot}`));
  // A result that could not be stored is a failure of its time, older than those that the member has had since.
  await refusals.write(values.refused.map((row) => ({ ...row, result: refusalOf(row) })));
  for (const [loop, taken] of harvest) {
    // The refused result is one more, before it.
    const rows = [...taken.failures].map(([slot, result]) =>
      values.hasRefused(loop, slot)
        ? { loop, slot, result: { ...result, inARow: result.inARow + 1 } }
        : { loop, slot, result },
    );
    await failures.write(rows.filter(({ slot }) => !putOff(loop, slot)));
    // A failure is not written before the success that it follows.
    failures.left.push(...rows.filter(({ slot }) => putOff(loop, slot)));
  }
  failures.mustBeTheRows();
  for (const { loop, slot, result } of [...refusals.left, ...failures.left])
    takenOf(left, loop).failures.set(slot, result);
  return {
    rows: values.written + refusals.written + failures.written,
    refused: [...values.refused, ...failures.refused],
    left,
  };
}

/** Rows that are written together where that works, in halves where it does not, and so on to the single row. */
class Division<T extends Success | Failure> {
  written = 0;
  readonly refused: (Row<T> & { error: Error })[] = [];
  readonly left: Row<T>[] = [];

  constructor(
    private readonly db: Queryable,
    private readonly until: number,
    private readonly host: FlushHost,
    private readonly store: (rows: Rows<T>[]) => Promise<void>,
  ) {}

  /** Throws an error that is not a row's fault. */
  async write(rows: Row<T>[]): Promise<void> {
    if (rows.length === 0) return;
    if (performance.now() > this.until && this.written + this.refused.length > 0) {
      this.left.push(...rows);
      return;
    }
    const error = await this.tryToWrite(rows);
    if (!error) {
      this.written += rows.length;
    } else if (rows.length > 1) {
      const half = Math.ceil(rows.length / 2);
      await this.write(rows.slice(0, half));
      await this.write(rows.slice(half));
    } else {
      this.refused.push({ ...rows[0]!, error });
      if (this.refused.length >= ALL_ALIKE) this.mustBeTheRows();
    }
  }

  hasRefused(loop: OperationLoop, slot: number): boolean {
    return this.refused.some((row) => row.loop === loop && row.slot === slot);
  }

  /**
   * Throws where none could be written, and for no reason that a row has: a table that is gone, a right that is
   * missing.
   */
  mustBeTheRows(): void {
    const [first] = this.refused;
    if (first && this.written === 0 && this.refused.every(({ error }) => classOf(error) !== 'row')) throw first.error;
  }

  private async tryToWrite(rows: Row<T>[]): Promise<Error | undefined> {
    await this.db.query({ text: 'savepoint rows', values: [] });
    const mark = this.host.feed?.mark();
    try {
      await this.store(rows.map(({ loop, result }) => ({ operation: loop.name, rows: [result] })));
    } catch (thrown) {
      const error = errorOf(thrown);
      if (isPassing(error)) throw error;
      await this.db.query({ text: 'rollback to savepoint rows', values: [] });
      if (mark) this.host.feed?.undo(mark);
      return error;
    }
    await this.db.query({ text: 'release savepoint rows', values: [] });
    return undefined;
  }
}

function refusalOf({ loop, slot, result, error }: Row<Success> & { error: Error }): Failure {
  return {
    key: result.key,
    failedAt: result.fetchedAt,
    error: errorText(error),
    heldUntil: null,
    inARow: (loop.known.failuresInARow.get(slot) ?? 0) + 1,
  };
}

function takenOf(
  harvest: Harvest,
  loop: OperationLoop,
): { successes: Map<number, Success>; failures: Map<number, Failure> } {
  let taken = harvest.get(loop);
  if (!taken) harvest.set(loop, (taken = { successes: new Map(), failures: new Map() }));
  return taken;
}
