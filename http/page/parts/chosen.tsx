/** The rows of a list that were chosen one by one, and what can be done with them. For the lists of dead letters. */
import { useState } from 'preact/hooks';
import type { Action } from '../actions/action';
import { count } from '../lib/format';
import { ActButton } from './dialog';
import type { Column } from './table';

interface Row {
  id: string;
}

interface Chosen<T> {
  /** The chosen ones that are there still. */
  ids: string[];
  /** Some were chosen, and none of them is there any more. */
  areGone: boolean;
  column: Column<T>;
  set: (ids: readonly string[]) => void;
}

/** @param may whether a row can be chosen */
export function useChosen<T extends Row>(rows: readonly T[], may: (row: T) => boolean): Chosen<T> {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const toggle = (id: string): void => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const ids = rows.filter((row) => chosen.has(row.id) && may(row)).map(({ id }) => id);
  return {
    ids,
    areGone: chosen.size > 0 && ids.length === 0,
    set: (next) => setChosen(new Set(next)),
    column: {
      head: 'choose',
      mute: true,
      cell: (row) =>
        may(row) && (
          <input
            type="checkbox"
            aria-label={`Choose ${row.id}`}
            checked={chosen.has(row.id)}
            onChange={() => toggle(row.id)}
          />
        ),
    },
  };
}

interface Props<T> {
  chosen: Chosen<T>;
  /** The rows that can be chosen. */
  shown: readonly string[];
  /** Names all that the actions are about where nothing is chosen: `all of this error`. */
  whole: string;
  actions: readonly Action[];
}

export function Bulk<T>({ chosen, shown, whole, actions }: Props<T>) {
  const many = chosen.ids.length;
  const none = (
    <button type="button" class="link" onClick={() => chosen.set([])}>
      choose none
    </button>
  );
  // An action that was meant for a few is never one on all, because somebody else was faster.
  if (chosen.areGone)
    return (
      <p class="bulk">
        <span class="quiet">Those that were chosen are not in this list any more.</span> {none}
      </p>
    );
  return (
    <p class="bulk">
      <span class="quiet">{many > 0 ? `${count(many)} chosen:` : `${whole}:`}</span>{' '}
      {actions.map((action) => (
        <ActButton key={action.button} action={many > 0 ? thenNone(action, chosen) : action} />
      ))}
      {many < shown.length && (
        <button type="button" class="link" onClick={() => chosen.set(shown)}>
          choose those that are shown
        </button>
      )}
      {many > 0 && none}
    </p>
  );
}

/** Once it is done, nothing is chosen any more. */
function thenNone<T>(action: Action, { set }: Chosen<T>): Action {
  return {
    ...action,
    act: async (...given) => {
      const ended = await action.act(...given);
      set([]);
      return ended;
    },
  };
}
