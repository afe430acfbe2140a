/** The actions on a buffer's entries: flush, and its dead letters by filter. */
import type { DeadResult } from '../../../client/buffer/dead';
import { at, send } from '../lib/api';
import { plural, verb } from '../lib/format';
import { line, type Action } from './action';

/** Chooses dead letters. */
export interface Filter {
  ids?: readonly string[];
  /** Only where the last error contains this text. */
  error?: string;
  /** Only those of one group of errors. */
  group?: string;
}

export function flushAction(buffer: string): Action {
  return {
    title: `Flush ${buffer}`,
    button: 'Flush',
    role: 'operate',
    says: (state) => {
      const found = state.status.buffers.find(({ name }) => name === buffer);
      if (!found) return { says: [], refused: 'there is no buffer of this name any more' };
      if (found.state !== 'running') return { says: [], refused: `it is ${found.state}` };
      return {
        says: [
          `${plural(found.pending, 'entry', 'entries')} in ${plural(found.shards.length, 'shard')} ${verb(found.pending, 'does', 'do')} not wait for their batch to fill; those that are put off stay put off.`,
        ],
      };
    },
    command: (_values, why) => line('flush', [buffer], { why }),
    act: async (_values, why, how) => {
      const { shards } = await send<{ shards: number }>('POST', at('buffers', buffer, 'flush'), { why }, how);
      return `${plural(shards, 'shard')} told`;
    },
  };
}

const SAID = {
  retry: { button: 'Retry', which: 'dead', will: 'pending again, with all attempts', done: 'pending again' },
  drop: {
    button: 'Drop',
    which: 'dead',
    will: 'dropped, and not given to your code. Records stay for a day, and the drop can be taken back',
    done: 'dropped',
  },
  restore: {
    button: 'Restore',
    which: 'dropped',
    will: 'pending again, accepted anew, within half a minute',
    done: 'on their way back',
  },
} as const;

/** The dry run says how many; then it is done with the same filter. */
export function deadAction(buffer: string, action: keyof typeof SAID, filter: Filter): Action {
  const { button, which: kind, will, done } = SAID[action];
  const path = at('buffers', buffer, 'dead', action);
  const { ids, error, group } = filter;
  const which = ids
    ? plural(ids.length, `${kind} letter`)
    : group || error
      ? `the ${kind} letters whose error is like '${group ?? error}'`
      : `all ${kind} letters`;
  return {
    title: `${button} ${which} of ${buffer}`,
    button,
    role: action === 'drop' ? 'admin' : 'operate',
    danger: action === 'drop',
    fields: [{ name: 'note', label: 'note', kind: 'text', value: '', hint: 'for the records of the letters' }],
    asks: async () => {
      const { chosen } = await send<DeadResult>('POST', path, { ids, error, group });
      if (chosen === 0) return { says: [], refused: `there is no such ${kind} letter any more` };
      return { says: [`${plural(chosen, 'entry', 'entries')} ${verb(chosen, 'becomes', 'become')} ${will}.`] };
    },
    command: ({ note = '' }, why) =>
      line(`dead ${action}`, [buffer, ...(ids ?? [])], {
        error,
        group,
        all: ids === undefined && !error && !group ? true : undefined,
        apply: true,
        note: note.trim(),
        why,
      }),
    act: async ({ note = '' }, why, how) => {
      const body = { ids, error, group, apply: true, why, ...(note.trim() ? { note: note.trim() } : {}) };
      const { chosen } = await send<DeadResult>('POST', path, body, how);
      // Somebody may have dropped one of these letters a moment before.
      return { words: `${plural(chosen, 'entry', 'entries')} ${done}`, isOwn: chosen === ids?.length };
    },
    // All of a filter would take back others as well, that somebody has dropped before.
    undo: () => (action === 'drop' && ids ? deadAction(buffer, 'restore', { ids }) : undefined),
  };
}
