/**
 * A table whose columns know how to draw their cells. It scrolls in itself where the window is narrow, so that the page
 * never does; a long list comes in pages (`More`), so that it never draws more rows than somebody reads.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { count } from '../lib/format';

/** Rows that are drawn at once; the rest is a click away. */
const FIRST = 100;

export interface Column<Row> {
  head: string;
  cell: (row: Row) => ComponentChildren;
  /** Figures: at the right, with digits of one width. */
  figure?: boolean;
  /** A drawing that takes the room that is left. */
  drawn?: boolean;
  /** Sentences: broken into lines. */
  text?: boolean;
  /** Its head is for the screen reader only. */
  mute?: boolean;
  /** Left out where the window is narrow. */
  wide?: boolean;
  /** Names the row, for the screen reader. */
  names?: boolean;
}

interface Props<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** Rows that are drawn at once. @default 100 */
  first?: number;
  /** A class for a row that stands out. */
  tone?: (row: Row) => string | undefined;
}

const classOf = (column: { figure?: boolean; wide?: boolean; drawn?: boolean; text?: boolean }): string | undefined =>
  [column.figure && 'figure', column.wide && 'wide', column.drawn && 'drawn', column.text && 'text']
    .filter(Boolean)
    .join(' ') || undefined;

export function Table<Row>({ caption, columns, rows, keyOf, tone, first = FIRST }: Props<Row>) {
  const [most, setMost] = useState(first);
  return (
    <>
      <div class="scroll" role="group" aria-label={caption} tabIndex={0}>
        <table>
          <caption class="unseen">{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column.head} scope="col" class={classOf(column)}>
                  {column.mute ? <span class="unseen">{column.head}</span> : column.head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, most).map((row) => (
              <Line key={keyOf(row)} row={row} columns={columns} tone={tone?.(row)} />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > most && <More shown={most} of={rows.length} next={() => setMost(most + FIRST)} />}
    </>
  );
}

function Line<Row>({ row, columns, tone }: { row: Row; columns: readonly Column<Row>[]; tone: string | undefined }) {
  return (
    <tr class={tone}>
      {columns.map((column) =>
        column.names ? (
          <th key={column.head} scope="row" class={classOf(column)}>
            {column.cell(row)}
          </th>
        ) : (
          <td key={column.head} class={classOf(column)}>
            {column.cell(row)}
          </td>
        ),
      )}
    </tr>
  );
}

/** The end of a page of a list. */
export function More({ shown, of, next }: { shown: number; of?: number; next?: () => void }) {
  return (
    <p class="more quiet">
      {of === undefined ? `${count(shown)} shown` : `${count(shown)} of ${count(of)} shown`}
      {next && (
        <>
          {' · '}
          <button type="button" class="link" onClick={next}>
            show more
          </button>
        </>
      )}
    </p>
  );
}
