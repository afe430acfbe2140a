/**
 * The checks of `longwatch doctor` about nodes and the pools that they keep; `checks.ts` has the others, and adds
 * these. Pure: facts in, findings out.
 */
import type { NodeReport } from '../cluster/nodes';
import { duration, groupBy, notice, plural, problem, type Check } from './check';

/** A pool that its node gives away is nobody's for tenths of a second; a killed node's for its heartbeat time-out. */
const UNKEPT_MS = 60_000;
/** A drain without an end that is older may be forgotten. */
const FORGOTTEN_MS = 60 * 60_000;

export const CLUSTER_CHECKS: readonly Check[] = [
  {
    id: 'pools-unkept',
    reads: 'the fences of pools with members, of trackers that run, and the nodes that have them',
    needs: ['unkept'],
    look: ({ unkept }) =>
      [...groupBy(unkept, ({ tracker }) => tracker)].map(([tracker, pools]) => {
        const longest = Math.max(...pools.map(({ forMs }) => forMs ?? 0));
        const since = longest > 0 ? `, one of them for ${duration(longest)}` : ', and none has kept them yet';
        const queue = pools.find((pool) => pool.queue !== null)?.queue ?? undefined;
        const waits = queue === undefined ? '' : `; no node has begun what waits on ${queue}`;
        const are = pools.length === 1 ? 'is' : 'are';
        const what = `${plural(pools.length, 'pool')} of ${tracker} ${are} kept by no node${since}${waits}`;
        return longest >= UNKEPT_MS
          ? problem(what, `npx longwatch nodes; npx longwatch pools ${tracker}`)
          : notice(`${what}; nodes are about to take them`, `npx longwatch pools ${tracker}`);
      }),
  },
  {
    id: 'node-verdict',
    reads: 'what each node says of itself: event loop, servers, crashes, target',
    needs: ['cluster'],
    look: ({ cluster }) =>
      cluster.nodes.filter(isWrong).map(({ name, verdict: { level, text } }) => {
        const what = `node ${name}: ${text}`;
        return level === 'bad' ? problem(what, 'npx longwatch nodes') : notice(what, 'npx longwatch nodes');
      }),
  },
  {
    id: 'label-unpolled',
    reads: 'the pollers of the task queues of labels that trackers need, and the labels of nodes that live',
    needs: ['labels', 'cluster'],
    look: ({ labels, cluster }) =>
      labels
        .filter(({ polled }) => !polled)
        .map(({ label, trackers }) => {
          const having = cluster.nodes.filter((node) => node.alive && node.labels.includes(label));
          const of = trackers.join(', ');
          return having.length === 0
            ? problem(
                `no node has the label ${label}, which ${of} needs, so nobody takes its pools`,
                `npx longwatch worker --label ${label}`,
              )
            : notice(
                `no node has asked for pools of the label ${label} (${of}) in the last minute: those that have it are drained or full`,
                'npx longwatch nodes',
              );
        }),
  },
  {
    id: 'drain-forgotten',
    reads: 'nodes that are drained until somebody resumes them, and when that was commanded',
    needs: ['drains'],
    look: ({ drains }) =>
      drains
        .filter(({ forMs }) => forMs === null || forMs > FORGOTTEN_MS)
        .map(({ node, whole, trackers, forMs }) =>
          notice(
            `node ${node} ${whole ? 'is drained' : `is drained for ${trackers.join(', ')}`}${forMs === null ? '' : `, since ${duration(forMs)}`}, and nothing says until when`,
            `npx longwatch node resume ${node}`,
          ),
        ),
  },
  {
    id: 'two-releases',
    reads: 'the releases of nodes that live',
    needs: ['cluster'],
    look: ({ cluster }) => {
      const releases = groupBy(cluster.nodes.filter(isHere), ({ version }) => version ?? 'an unknown one');
      if (releases.size < 2) return [];
      const parts = [...releases].map(([version, nodes]) => `${plural(nodes.length, 'node')} of ${version}`).sort();
      return [
        notice(
          `nodes of ${releases.size} releases work side by side: ${parts.join(', ')}`,
          'end the old ones: npx longwatch nodes',
        ),
      ];
    },
  },
  {
    id: 'tracker-undefined',
    reads: 'the configs of nodes that live, as they say which trackers they lack',
    needs: ['cluster', 'status'],
    look: ({ cluster, status }) => {
      const telling = cluster.nodes.filter((node) => isHere(node) && node.use !== null);
      if (telling.length === 0) return [];
      return status.trackers
        .filter(({ state, name }) => state !== 'stopped' && telling.every(({ use }) => use!.lacks.includes(name)))
        .map(({ name }) =>
          problem(
            `no node that lives has tracker ${name} in its config, so nobody keeps it`,
            `start a worker whose config has it, or: npx longwatch stop ${name}`,
          ),
        );
    },
  },
];

const isHere = ({ alive }: NodeReport): boolean => alive;

/** A node that is only silent has a check of its own; its pools have one too. */
const isWrong = ({ ended, alive, verdict: { level } }: NodeReport): boolean =>
  (level === 'bad' || level === 'warning') && (ended || alive);
