/**
 * The kinds of bad day, each with what it does. `bad-days.ts` draws one after the other; `gaps.ts` says how long an id
 * may wait for one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Longwatch } from 'longwatch';
import type { NodeProcess } from './processes';
import type { Servers } from './servers';

/** Longer than the heartbeat time-out: its pools are elsewhere when it goes on. */
const FROZEN_MS = 8_000;
/** Longer than a shift bears a database that refuses its results (`patience`, 10 s): its pools go elsewhere. */
const CUT_MS = 13_000;
const DRAINED_MS = 5_000;
/** A server that is started again at once takes about as long. */
const AWAY_MS = 3_000;
const ALL_GONE_MS = 10_000;

export interface Scene {
  nodes: readonly NodeProcess[];
  servers: Servers;
  longwatch: Longwatch;
}

export interface Kind {
  name: string;
  /** The nodes that it hits: nobody hears of them from its beginning on, and their pools come back by the time-out. */
  hits: 'one' | 'all' | 'none';
  /** Resolves when it is over. */
  happen(scene: Scene, node: NodeProcess): Promise<void>;
  /** It takes minutes, so it comes only where it is named, and no other begins meanwhile. */
  isLong?: true;
  /** Another one comes of it: nodes start on the machine of those that work already. */
  follows?: { name: string; happen(scene: Scene): Promise<void> };
}

const WHY = { why: 'the example does it' };

export const KINDS: readonly Kind[] = [
  { name: 'kill -9', hits: 'one', happen: (_, node) => node.kill() },
  {
    name: 'drain',
    hits: 'none',
    happen: async ({ longwatch }, { name }) => {
      await longwatch.node(name).drain(WHY);
      await delay(DRAINED_MS);
      await longwatch.node(name).resume(WHY);
    },
  },
  { name: 'freeze', hits: 'one', happen: (_, node) => node.freeze(FROZEN_MS) },
  {
    name: 'rebalance',
    hits: 'none',
    happen: async ({ longwatch }) => void (await longwatch.rebalance(WHY)),
  },
  { name: 'cut off from PostgreSQL', hits: 'one', happen: (_, node) => node.cutOff(['postgres'], CUT_MS) },
  { name: 'freeze in a flush', hits: 'one', happen: (_, node) => node.freezeInFlush(FROZEN_MS) },
  { name: 'cut off from Temporal', hits: 'one', happen: (_, node) => node.cutOff(['temporal'], CUT_MS) },
  { name: 'root terminated', hits: 'none', happen: ({ servers }) => servers.terminateRoot() },
  { name: 'cut off from both', hits: 'one', happen: (_, node) => node.cutOff(['postgres', 'temporal'], CUT_MS) },
  { name: 'PostgreSQL restarted', hits: 'none', happen: ({ servers }) => servers.restart('postgres', AWAY_MS) },
  { name: 'Temporal restarted', hits: 'none', happen: ({ servers }) => servers.restart('temporal', AWAY_MS) },
  {
    name: 'all nodes gone',
    hits: 'all',
    happen: async ({ nodes }) => {
      await Promise.all(nodes.map((node) => node.kill(ALL_GONE_MS)));
      await Promise.race(nodes.map((node) => node.back()));
    },
    follows: {
      name: 'the other nodes start',
      happen: async ({ nodes }) => void (await Promise.all(nodes.map((node) => node.back()))),
    },
  },
  {
    name: 'rolling restart',
    hits: 'none',
    isLong: true,
    happen: async ({ nodes, longwatch }) => {
      for (const node of nodes) {
        await longwatch.node(node.name).drain({ ...WHY, for: '10m' });
        await longwatch.node(node.name).awaitDrained();
        await node.restart();
        await longwatch.node(node.name).resume(WHY);
      }
    },
  },
];
