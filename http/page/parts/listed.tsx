/**
 * A list that comes in pages, as a table: what could not be read, how much of how many is shown, and the way to what
 * follows. Used by the long lists, which ask by `lib/pages.ts`.
 */
import type { ComponentChildren } from 'preact';
import { clock, count } from '../lib/format';
import type { Pages } from '../lib/pages';
import { Table, type Column } from './table';
import { Trouble } from './text';

interface Props<Row> {
  list: Pages<Row>;
  caption: string;
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  /** Shown where there is nothing. */
  empty: ComponentChildren;
  /** How many there are of it, where that is known. */
  of?: number;
  /** The items in another order, or as they are since. */
  rows?: readonly Row[];
  tone?: (row: Row) => string | undefined;
}

export function Listed<Row>({ list, caption, columns, keyOf, empty, of, rows = list.items, tone }: Props<Row>) {
  return (
    <>
      {list.problem && <Trouble words={list.problem.message} again={list.again} />}
      {rows.length === 0 && list.isWhole && !list.problem && empty}
      {rows.length > 0 && (
        <Table caption={caption} columns={columns} rows={rows} first={Infinity} keyOf={keyOf} tone={tone} />
      )}
      {rows.length > 0 && <End list={list} of={of} />}
    </>
  );
}

/** One sees how many there are of less. */
const COUNTED = 20;

function End<Row>({ list, of }: { list: Pages<Row>; of: number | undefined }) {
  const { items, skipped, next, again, isAsking, stillSince } = list;
  const isAll = !next && skipped === 0;
  if (isAll && items.length < COUNTED) return null;
  const last = skipped + items.length;
  const which = skipped > 0 ? `${count(skipped + 1)} to ${count(last)}` : count(last);
  // The list and its number are not of one moment.
  const whole = of === undefined || of < last ? '' : ` of ${count(of)}`;
  return (
    <p class="more quiet">
      {isAll ? `all ${which} shown` : next ? `${which}${whole} shown` : `${which} shown, and that is the end`}
      {stillSince !== undefined && `, as of ${clock(new Date(stillSince))}`}
      {next && (
        <>
          {' · '}
          <button type="button" class="link" disabled={isAsking} onClick={next}>
            {isAsking ? 'asking…' : 'show more'}
          </button>
        </>
      )}
      {(skipped > 0 || stillSince !== undefined) && (
        <>
          {' · '}
          <button type="button" class="link" onClick={again}>
            from the first one
          </button>
        </>
      )}
    </p>
  );
}
