/** The wishes for nodes: drain, resume, target, weight; and rebalance, with its preview. */
import type { RebalancePreview, RebalanceResult } from '../../../client/cluster/rebalance';
import { at, get, send } from '../lib/api';
import { serverNow } from '../lib/clock';
import { count, percent, plural, verb } from '../lib/format';
import type { NodeReport, State } from '../lib/state';
import { line, type Action, type Ended, type Preview, type Values } from './action';

interface Wish {
  changed: boolean;
  ended: boolean;
}

const find = (state: State, name: string): NodeReport | undefined =>
  state.cluster.nodes.find((node) => node.name === name);

const outcome = (name: string, { changed, ended }: Wish, what: string): Ended => ({
  words: `${name} ${changed ? what : 'was so already'}${ended ? '; its process has ended, and the next one of this name finds it' : ''}`,
  isOwn: changed,
});

/** @param forTime the time that an undo begins with */
export function drainAction(name: string, forTime = ''): Action {
  return {
    title: `Drain ${name}`,
    button: 'Drain',
    role: 'operate',
    fields: [{ name: 'for', label: 'for', kind: 'text', value: forTime, hint: '30m, 2h; empty: until it is resumed' }],
    says: (state, { for: time = '' }) => drainSays(state, name, time),
    command: ({ for: time = '' }, why) => line('node drain', [name], { for: time.trim(), why }),
    act: async ({ for: time = '' }, why, how) => {
      const body = { why, ...(time.trim() ? { for: time.trim() } : {}) };
      return outcome(name, await send<Wish>('POST', at('nodes', name, 'drain'), body, how), 'gives away what it keeps');
    },
    // A resume lifts every drain of it: that of others, for one tracker, too.
    undo: (state) => {
      const node = find(state, name);
      return !node || node.drained || node.drainedFor.length > 0 ? undefined : resumeNodeAction(name);
    },
  };
}

function drainSays(state: State, name: string, time: string): Preview {
  const node = find(state, name);
  if (!node) return { says: [], refused: 'there is no node of this name any more' };
  const others = state.cluster.nodes.filter((each) => each.alive && !each.drained && each.name !== name);
  const until = time.trim() ? `for ${time.trim()}, then it is resumed by itself` : 'until it is resumed';
  if (node.drained && node.drainedUntil === null && !time.trim()) return { says: [], refused: 'it is drained already' };
  return {
    says: [
      `${plural(node.pools, 'pool')} with ${plural(node.members, 'member')} ${verb(node.pools, 'goes', 'go')} to ${
        others.length === 0
          ? 'nobody: no other node may keep them, so it keeps them'
          : plural(others.length, 'other node')
      }.`,
      `It takes nothing ${until}. A pool is without a node for about a tenth of a second.`,
    ],
  };
}

export function resumeNodeAction(name: string): Action {
  return {
    title: `Resume ${name}`,
    button: 'Resume',
    role: 'operate',
    says: (state) => {
      const node = find(state, name);
      if (!node) return { says: [], refused: 'there is no node of this name any more' };
      if (!node.drained && node.drainedFor.length === 0) return { says: [], refused: 'it is not drained' };
      const share = `about ${percent(partOf(state, node, node.weight))} of the load, by the weights`;
      return { says: [`It may keep pools again, and takes ${share}; it has ${plural(node.pools, 'pool')} now.`] };
    },
    command: (_values, why) => line('node resume', [name], { why }),
    act: async (_values, why, how) =>
      outcome(name, await send<Wish>('POST', at('nodes', name, 'resume'), { why }, how), 'may keep pools again'),
    undo: (state) => {
      const node = find(state, name);
      // A node that was also drained for single trackers cannot be drained so again in one command.
      if (!node?.drained || node.drainedFor.length > 0) return undefined;
      return drainAction(name, node.drainedUntil === null ? '' : secondsUntil(node.drainedUntil));
    },
  };
}

/** `90s`: what is left of a drain. */
const secondsUntil = (at: string): string => `${Math.max(1, Math.ceil((Date.parse(at) - serverNow()) / 1_000))}s`;

/** Its part of all that the nodes keep, if it had this weight. */
function partOf({ cluster }: State, node: NodeReport, weight: number): number {
  const others = cluster.nodes.filter((each) => each.alive && !each.drained && each.name !== node.name);
  return weight / others.reduce((sum, each) => sum + each.weight, weight);
}

const targetOf = ({ pools = '' }: Values): number | null | undefined => {
  const text = pools.trim();
  if (text === '' || text === 'share') return null;
  return /^\d+$/.test(text) ? Number(text) : undefined;
};

/** The way back from a value: an undo begins with the one of before, and says where it is not `left` any more. */
interface Back {
  to: string;
  left: string;
}

/** Others may have changed it between an act and its undo. */
const changedSince = (now: string, left: string | undefined, what: string): string[] =>
  left === undefined || now === left
    ? []
    : [`Its ${what} is ${now} now, and not ${left}: somebody has changed it since.`];

export function targetAction(name: string, now: number | null, back?: Back): Action {
  return {
    title: `Target of ${name}`,
    button: 'Target',
    role: 'operate',
    fields: [
      {
        name: 'pools',
        label: 'pools at most',
        kind: 'text',
        value: back?.to ?? targetText(now),
        hint: 'a number, or share: as many as balancing gives it',
      },
    ],
    says: (state, values) => targetSays(find(state, name), targetOf(values), back),
    command: (values, why) => line('node target', [name, String(targetOf(values) ?? 'share')], { why }),
    act: async (values, why, how) =>
      outcome(
        name,
        await send<Wish>('POST', at('nodes', name, 'target'), { pools: targetOf(values) ?? null, why }, how),
        'has its target',
      ),
    undo: (state, values) => {
      const before = find(state, name)?.target ?? null;
      return before === targetOf(values)
        ? undefined
        : targetAction(name, before, { to: targetText(before), left: targetText(targetOf(values) ?? null) });
    },
  };
}

const targetText = (target: number | null): string => (target === null ? 'share' : String(target));

function targetSays(node: NodeReport | undefined, target: number | null | undefined, back?: Back): Preview {
  if (!node) return { says: [], refused: 'there is no node of this name any more' };
  if (target === undefined) return { says: [], refused: "write a number of pools, or 'share'" };
  if (target === node.target) return { says: [], refused: 'that is its target already' };
  const others = changedSince(targetText(node.target), back?.left, 'target');
  if (target === null)
    return { says: [...others, `It keeps as many pools as balancing gives it; it has ${count(node.pools)} now.`] };
  const over = node.pools - target;
  return {
    says: [
      ...others,
      over > 0
        ? `It gives away ${plural(over, 'pool')} of its ${count(node.pools)}, and takes no more than ${count(target)}.`
        : `It has ${plural(node.pools, 'pool')}, and takes ${count(-over)} more at most.`,
    ],
  };
}

export function weightAction(name: string, now: number, back?: Back): Action {
  return {
    title: `Weight of ${name}`,
    button: 'Weight',
    role: 'operate',
    fields: [
      {
        name: 'weight',
        label: 'weight',
        kind: 'text',
        value: back?.to ?? String(now),
        hint: '0.001 to 1,000; 1 is as the others',
      },
    ],
    says: (state, { weight = '' }) => weightSays(state, name, numberOf(weight), back),
    command: ({ weight = '' }, why) => line('node weight', [name, weight.trim()], { why }),
    act: async ({ weight = '' }, why, how) =>
      outcome(
        name,
        await send<Wish>('POST', at('nodes', name, 'weight'), { weight: numberOf(weight), why }, how),
        'has its weight',
      ),
    undo: (state, { weight = '' }) => {
      const before = find(state, name)?.weight;
      return before === undefined || before === numberOf(weight)
        ? undefined
        : weightAction(name, before, { to: String(before), left: String(numberOf(weight)) });
    },
  };
}

/** Nothing is not zero. */
const numberOf = (text: string): number => (text.trim() === '' ? NaN : Number(text));

function weightSays(state: State, name: string, weight: number, back?: Back): Preview {
  const node = find(state, name);
  if (!node) return { says: [], refused: 'there is no node of this name any more' };
  if (!(weight >= 0.001 && weight <= 1_000)) return { says: [], refused: 'a weight is a number from 0.001 to 1,000' };
  if (weight === node.weight) return { says: [], refused: 'that is its weight already' };
  const shares = [node.weight, weight].map((of) => percent(partOf(state, node, of)));
  return {
    says: [
      ...changedSince(String(node.weight), back?.left, 'weight'),
      `Its part of the load goes from about ${shares[0]} to about ${shares[1]}, by the weights; pools move within seconds.`,
    ],
  };
}

/** Nodes balance by themselves: at rest it has nothing to do. */
export function rebalanceAction(): Action {
  return {
    title: 'Rebalance',
    button: 'Rebalance',
    role: 'operate',
    asks: async (_values, signal) => previewOf(await get<RebalancePreview>('rebalance', {}, signal)),
    command: (_values, why) => line('rebalance', [], { why }),
    act: async (_values, why, how) => {
      const { moved, failed } = await send<RebalanceResult>('POST', 'rebalance', { why }, how);
      const first = failed[0] ? ` (${failed[0].tracker}/${failed[0].pool}: ${failed[0].why})` : '';
      return `${plural(moved, 'pool')} moved${failed.length > 0 ? `, ${count(failed.length)} not${first}` : ''}`;
    },
  };
}

function previewOf({ moves, members, nodes, stuck }: RebalancePreview): Preview {
  const kept =
    stuck.length > 0
      ? [`No other node may keep ${plural(stuck.length, 'pool')} that should leave: ${stuck.slice(0, 3).join(', ')}.`]
      : [];
  if (moves.length === 0) return { says: kept, refused: 'every node has its share: nothing would move' };
  return {
    says: [
      `${plural(moves.length, 'pool')} with ${plural(members, 'member')} ${verb(moves.length, 'moves', 'move')}; each is without a node for about a tenth of a second.`,
      ...nodes
        .filter(({ before, after }) => before.pools !== after.pools)
        .slice(0, 12)
        .map(({ name, before, after }) => `${name}: ${count(before.pools)} → ${count(after.pools)} pools`),
      ...kept,
    ],
  };
}
