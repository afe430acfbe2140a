/** The actions on a tracker's holds, pools and members. */
import type { MoveResult } from '../../../client/cluster/move';
import type { PoolSummary } from '../../../client/tracker/members';
import type { RosterResult } from '../../../client/tracker/roster';
import type { HoldSummary, RefetchResult } from '../../../client/tracker/told';
import { at, getAll, send } from '../lib/api';
import { count, duration, plural, verb } from '../lib/format';
import type { State, TrackerSummary } from '../lib/state';
import { line, type Action } from './action';

const find = (state: State, name: string): TrackerSummary | undefined =>
  state.status.trackers.find((tracker) => tracker.name === name);

/** Lifts holds; the upstream is obeyed when it says so again. */
export function openHoldsAction(tracker: string, operation: string | null): Action {
  return {
    title: `Open the holds of ${operation === null ? tracker : `${tracker}.${operation}`}`,
    button: 'Open',
    role: 'operate',
    says: (state) => {
      const found = find(state, tracker);
      const holds = (found?.holds ?? []).filter((hold) => operation === null || hold.operation === operation);
      if (!found || holds.length === 0) return { says: [], refused: 'nothing is held any more' };
      return {
        says: [
          ...holds
            .slice(0, 6)
            .map(
              (hold) =>
                `${hold.operation ?? 'All operations'} would be held for another ${duration(hold.leftMs)}: ${hold.reason}`,
            ),
          `${plural(found.members, 'member')} ${verb(found.members, 'is', 'are')} asked about again within a second. A refusal of the upstream is obeyed again.`,
        ],
      };
    },
    command: (_values, why) => line('hold open', operation === null ? [tracker] : [tracker, operation], { why }),
    act: async (_values, why, how) => {
      const body = operation === null ? { why } : { operation, why };
      const path = at('trackers', tracker, 'holds', 'open');
      const { items } = await send<{ items: HoldSummary[] }>('POST', path, body, how);
      return items.length === 0 ? 'nothing was held' : `${plural(items.length, 'hold')} lifted`;
    },
  };
}

/** @param id only this member; without it, all */
export function refetchAction(tracker: string, id?: string): Action {
  return {
    title: id === undefined ? `Refetch ${tracker}` : `Refetch ${id}`,
    button: 'Refetch',
    role: 'operate',
    says: (state) => {
      const found = find(state, tracker);
      if (!found) return { says: [], refused: 'there is no tracker of this name any more' };
      const who = id === undefined ? `${plural(found.members, 'member')}` : 'This member';
      return {
        says: [
          `${who} × ${plural(found.operations.filter(({ enabled }) => enabled).length, 'operation')}: ETags and expiries are forgotten, and the upstream is asked anew.`,
          'Values stay until there are others.',
        ],
      };
    },
    command: (_values, why) => line('refetch', id === undefined ? [tracker] : [tracker, id], { why }),
    act: async (_values, why, how) => {
      const body = id === undefined ? { why } : { ids: [id], why };
      const { members } = await send<RefetchResult>('POST', at('trackers', tracker, 'refetch'), body, how);
      return `${plural(members, 'member')} asked anew`;
    },
  };
}

export function moveAction(tracker: string, pool: PoolSummary, nodes: readonly string[]): Action {
  const others = nodes.filter((name) => name !== pool.node);
  return {
    title: `Move pool ${pool.pool} of ${tracker}`,
    button: 'Move',
    role: 'operate',
    fields: [{ name: 'to', label: 'to', kind: 'choice', value: others[0] ?? '', choices: others }],
    asks: async ({ to = '' }, signal) => {
      if (to === '') return { says: [], refused: 'there is no other node that lives' };
      const { items } = await getAll<PoolSummary>(at('trackers', tracker, 'pools'), pool.pool + 1, signal);
      const now = items.find((each) => each.pool === pool.pool);
      if (!now) return { says: [], refused: 'there is no such pool any more' };
      if (now.node === to && now.onShift) return { says: [], refused: `it is with ${to} already` };
      return {
        says: [
          `${plural(now.members, 'member')} ${verb(now.members, 'goes', 'go')} from ${now.node ?? 'nobody'} to ${to}: about a tenth of a second without a node.`,
        ],
        undo: now.node === null || !now.onShift ? undefined : moveAction(tracker, { ...now, node: to }, [now.node]),
      };
    },
    command: ({ to = '' }, why) => line('move', [tracker, String(pool.pool)], { to, why }),
    act: async ({ to = '' }, why, how) => {
      await send<MoveResult>('POST', at('trackers', tracker, 'pools', pool.pool, 'move'), { to, why }, how);
      return `pool ${pool.pool} is with ${to}`;
    },
  };
}

const idsOf = (text: string): string[] => [
  ...new Set(
    text
      .split(/\r?\n/)
      .map((id) => id.trim())
      .filter(Boolean),
  ),
];

export function addAction(tracker: string): Action {
  return {
    title: `Add members to ${tracker}`,
    button: 'Add members',
    role: 'operate',
    isData: true,
    fields: [{ name: 'ids', label: 'ids, one a line', kind: 'long', value: '', required: true }],
    says: (state, { ids = '' }) => {
      const given = idsOf(ids);
      if (given.length === 0) return { says: [], refused: 'write at least one id' };
      return {
        says: [
          `${plural(given.length, 'id')} ${verb(given.length, 'is', 'are')} tracked beside ${plural(find(state, tracker)?.members ?? 0, 'member')}; those that are there already stay as they are.`,
        ],
      };
    },
    command: ({ ids = '' }) => line('add', [tracker, ...idsOf(ids)]),
    act: async ({ ids = '' }, _why, how) => {
      const body = { ids: idsOf(ids), wait: true };
      const { accepted } = await send<RosterResult>('POST', at('trackers', tracker, 'members'), body, how);
      return `${plural(accepted, 'id')} accepted`;
    },
    // Not to be taken back in one word: some of them may have been there before, with their values.
  };
}

/** @param receives they may have states, which nobody can fetch anew */
export function removeAction(tracker: string, ids: readonly string[], receives: boolean): Action {
  const who = ids.length === 1 ? ids[0]! : plural(ids.length, 'member');
  return {
    title: `Remove ${who} of ${tracker}`,
    button: 'Remove',
    role: 'operate',
    danger: true,
    isData: true,
    says: (state) => ({
      says: [
        `${plural(ids.length, 'id')} of ${count(find(state, tracker)?.members ?? 0)} ${verb(ids.length, 'is', 'are')} not tracked any more, and the values are deleted.`,
        ...(receives ? ['State, mail and timers are deleted as well, and cannot be had back.'] : []),
        'They can be added again; values come with the next runs.',
      ],
    }),
    command: () => line('remove', [tracker, ...ids]),
    act: async (_values, _why, how) => {
      const path = at('trackers', tracker, 'members', 'remove');
      const { accepted } = await send<RosterResult>('POST', path, { ids, wait: true }, how);
      return `${plural(accepted, 'id')} removed`;
    },
  };
}
