/** The actions on a buffer's entries: flush, and its dead letters by filter. */
import type { DeadResult } from '../../../client/buffer/dead';
import { at, send } from '../lib/api';
import { plural } from '../lib/format';
import { line, type Action } from './action';

/** Chooses dead letters. */
export interface Filter {
  ids?: readonly string[];
  /** Only where the last error contains this text. */
  error?: string;
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
          `${plural(found.pending, 'entry', 'entries')} in ${plural(found.shards.length, 'shard')} do not wait for their batch to fill; those that are put off stay put off.`,
        ],
      };
    },
    command: () => line('flush', [buffer]),
    act: async () => {
      const { shards } = await send<{ shards: number }>('POST', at('buffers', buffer, 'flush'));
      return `${plural(shards, 'shard')} told`;
    },
  };
}

const SAID = {
  retry: { button: 'Retry', will: 'pending again, with all of their attempts', done: 'pending again' },
  drop: { button: 'Drop', will: 'dropped: your code never gets them. Their records stay', done: 'dropped' },
} as const;

/** The dry run says how many; then it is done with the same filter. */
export function deadAction(buffer: string, action: 'retry' | 'drop', filter: Filter): Action {
  const { button, will, done } = SAID[action];
  const path = at('buffers', buffer, 'dead', action);
  const { ids, error } = filter;
  const which = ids
    ? plural(ids.length, 'dead letter')
    : error
      ? `the dead letters whose error has '${error}'`
      : 'all dead letters';
  return {
    title: `${button} ${which} of ${buffer}`,
    button,
    role: action === 'drop' ? 'admin' : 'operate',
    danger: action === 'drop',
    fields: [{ name: 'note', label: 'note', kind: 'text', value: '', hint: 'for the records of the letters' }],
    asks: async () => {
      const { chosen } = await send<DeadResult>('POST', path, { ids, error });
      if (chosen === 0) return { says: [], refused: 'there is no such dead letter any more' };
      return { says: [`${plural(chosen, 'entry', 'entries')} become ${will}.`] };
    },
    command: ({ note = '' }, why) =>
      line(`dead ${action}`, [buffer, ...(ids ?? [])], {
        error,
        all: ids === undefined && !error ? true : undefined,
        apply: true,
        note: note.trim(),
        why,
      }),
    act: async ({ note = '' }, why) => {
      const body = { ids, error, apply: true, why, ...(note.trim() ? { note: note.trim() } : {}) };
      const { chosen } = await send<DeadResult>('POST', path, body);
      return `${plural(chosen, 'entry', 'entries')} ${done}`;
    },
  };
}
