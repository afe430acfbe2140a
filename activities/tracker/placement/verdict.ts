/**
 * One sentence about a node for `longwatch nodes`: what is wrong with it, or that nothing is. The first rule that
 * applies is said, the worst first; each says what follows from it, and what helps.
 */
import { PLACEMENT } from './constants';
import { HEALTH } from './health';

/** The facts that are known of a node: from its row, and from the rows of its peers. */
export interface NodeFacts {
  readonly name: string;
  /** Since its row was written, by the database's clock, milliseconds. */
  readonly silentMs: number;
  /** It said good-bye. */
  readonly ended: boolean;
  /** false: drained. */
  readonly up: boolean;
  /** It is not up, and nobody has drained it: it starts, or ends. */
  readonly byItself?: boolean;
  /** Trackers that it is drained for. */
  readonly drainedFor: readonly string[];
  readonly pools: number;
  readonly load: number;
  /** Load units. */
  readonly share: number;
  /** The size of a mean pool of the cluster: a node is not nearer to its share than that. Load units. */
  readonly meanPool?: number;
  readonly places: number;
  readonly loadLimit: number;
  /** The weight that was set, without health and trust. */
  readonly weight: number;
  readonly health: number;
  readonly trust: number;
  /** How late its event loop runs, milliseconds. */
  readonly lagMs: number;
  /** Since when its results could not be written, milliseconds; undefined: they can. */
  readonly storeRefusedMs?: number;
  /** Since when Temporal cannot be reached; undefined: it can. */
  readonly temporalRefusedMs?: number;
  /** Pools that came to it in the last minute and could not be begun, and one of them with why. */
  readonly failing?: { readonly pools: number; readonly example: string | null };
  /** Peers that live and are up. */
  readonly peersUp: number;
  /** The peers' release, where all of them have the same and it is another one. */
  readonly peersVersion?: string;
  readonly version: string;
  /** Trackers of the cluster that its config does not have. */
  readonly lacks: readonly string[];
}

export interface Verdict {
  readonly level: 'good' | 'note' | 'warning' | 'bad';
  /** For columns and metrics. */
  readonly word: string;
  /** A sentence for a person. */
  readonly text: string;
}

type Rule = (facts: NodeFacts) => Verdict | undefined;

const RULES: readonly Rule[] = [
  ({ ended, pools }) =>
    ended && pools > 0
      ? say('bad', 'gone', `it has ended, and ${plural(pools, 'pool')} of it wait for another node`)
      : ended
        ? say('note', 'ended', 'it has ended')
        : undefined,
  ({ silentMs }) =>
    silentMs >= PLACEMENT.goneMs
      ? say(
          'bad',
          'gone',
          `nothing was heard of it for ${seconds(silentMs)}; its pools go to other nodes when their heartbeats time out`,
        )
      : silentMs >= PLACEMENT.staleMs
        ? say('warning', 'silent', `nothing was heard of it for ${seconds(silentMs)}; no pool is given to it`)
        : undefined,
  ({ storeRefusedMs, temporalRefusedMs }) =>
    storeRefusedMs !== undefined && temporalRefusedMs !== undefined
      ? say(
          'bad',
          'cut off',
          `it has reached neither PostgreSQL nor Temporal for ${seconds(Math.min(storeRefusedMs, temporalRefusedMs))}; check its network`,
        )
      : undefined,
  ({ storeRefusedMs }) =>
    storeRefusedMs !== undefined
      ? say(
          'bad',
          'cut off from PostgreSQL',
          `it has written nothing for ${seconds(storeRefusedMs)}; it takes no pools until it can`,
        )
      : undefined,
  ({ temporalRefusedMs }) =>
    temporalRefusedMs !== undefined
      ? say(
          'bad',
          'cut off from Temporal',
          `it has not reached Temporal for ${seconds(temporalRefusedMs)}; it keeps its pools, and gets no others`,
        )
      : undefined,
  ({ failing }) =>
    failing !== undefined && failing.pools > 0
      ? say(
          'bad',
          'failing',
          `${plural(failing.pools, 'pool')} came to it in the last minute and could not be begun, the last one ${failing.example ?? 'for a reason that it does not say'}`,
        )
      : undefined,
  ({ up, byItself, pools }) => {
    if (up || byItself !== true) return undefined;
    return pools === 0
      ? say('note', 'not up', 'it starts or ends, and takes no pools')
      : say('note', 'ending', `it ends, and gives away its last ${plural(pools, 'pool')}`);
  },
  ({ up, pools, peersUp }) => {
    if (up) return undefined;
    if (pools === 0)
      return say(
        'note',
        'drained',
        'it is drained and keeps nothing; it can be stopped, or resumed with `longwatch node resume`',
      );
    return peersUp === 0
      ? say('warning', 'draining', `it is drained, and no other node is up: it keeps its ${plural(pools, 'pool')}`)
      : say('note', 'draining', `it is drained and gives away its last ${plural(pools, 'pool')}`);
  },
  ({ lagMs, health }) =>
    lagMs > HEALTH.behindMs
      ? say(
          'warning',
          'behind',
          `its event loop runs ${Math.round(lagMs)} ms late; its part of the load is ${percent(health)} of what its weight says`,
        )
      : undefined,
  ({ trust }) =>
    trust < 1
      ? say(
          'warning',
          'crashed',
          `it has crashed more than once a short while ago; it gets ${percent(trust)} of its load back until it has been up for some minutes`,
        )
      : undefined,
  ({ health }) =>
    health < 1
      ? say(
          'note',
          'recovering',
          `it was behind; its part of the load is ${percent(health)}, and grows by a tenth for each ten calm minutes`,
        )
      : undefined,
  ({ pools, places }) =>
    pools > places
      ? say(
          'warning',
          'over its target',
          `it keeps ${plural(pools, 'pool')} of ${places}, for no other node has room; add a node, or raise the target`,
        )
      : undefined,
  ({ lacks }) =>
    lacks.length > 0
      ? say(
          'warning',
          'other config',
          `its config does not have ${listed(lacks)}; it keeps no pools of ${lacks.length === 1 ? 'it' : 'these'}`,
        )
      : undefined,
  ({ version, peersVersion }) =>
    peersVersion !== undefined && peersVersion !== version
      ? say('note', 'other release', `it runs ${version}, the others ${peersVersion}`)
      : undefined,
  ({ pools, places, load, loadLimit }) =>
    pools === places || load >= loadLimit
      ? say('note', 'full', 'it is at its target and takes no more while others have room')
      : undefined,
  ({ drainedFor }) =>
    drainedFor.length > 0 ? say('note', 'drained in part', `it is drained for ${listed(drainedFor)}`) : undefined,
  ({ peersUp, pools }) =>
    peersUp === 0 && pools > 0
      ? say('note', 'alone', 'no other node is up: if it dies, its pools wait for the next one')
      : undefined,
  ({ load, share, meanPool = 0 }) =>
    load < (1 - PLACEMENT.band) * share && share - load > meanPool
      ? say('note', 'filling', `it has ${percent(load / share)} of its share, and asks the others for more`)
      : undefined,
];

export function verdictOf(facts: NodeFacts): Verdict {
  for (const rule of RULES) {
    const verdict = rule(facts);
    if (verdict) return verdict;
  }
  return say('good', 'good', 'it has its share and keeps up');
}

function say(level: Verdict['level'], word: string, text: string): Verdict {
  return { level, word, text };
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

/** A list for a line: the first three, and how many more. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
