/**
 * A failover to a database whose clock is another one, by seconds or by hours, forwards or back, while pools are on
 * their way, nodes ask, and one of them dies with the old database: no memory of a node lasts longer for it, and nobody
 * takes the dead one for living.
 */
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';
import { equalPools, movesWithin, rest, shareOf, show } from './cluster-scenario';
import { SimulatedCluster } from './simulated-cluster';

const HOUR = 3_600_000;
/** A failover, and the time that a node needs to be heard of again. */
const MOST_MS = 60_000;

function live(seed: number): void {
  const draw = new Draws(seed);
  const cluster = new SimulatedCluster({ draw, pools: equalPools(draw.size(12, 90)) });
  const count = draw.whole(3, 5);
  for (let at = 0; at < count; at++) cluster.join(`n${at}`);
  rest(cluster);
  const off = draw.one([-1, -1, 1]) * draw.size(1_000, HOUR);
  // Something is under way: a newcomer is filled, or a node gives all that it has.
  const busy = draw.one(['joins', 'is drained', 'nothing']);
  if (busy === 'joins') cluster.join('new');
  else if (busy === 'is drained') cluster.drain('n0');
  cluster.run(draw.between(0, 3_000));
  const outMs = draw.one([0, 300, 4_000, 8_000]);
  if (outMs > 0) cluster.loseStore(outMs);
  if (draw.chance(0.5)) cluster.kill('n1');
  cluster.run(outMs);
  cluster.failOver(off);
  if (draw.chance(0.2)) {
    // The old one is there again a moment later, with the old clock.
    cluster.run(draw.between(500, 4_000));
    cluster.failOver(-off);
  }
  const what = `${Math.round(off)} ms, ${busy}`;
  const isEven = (): boolean =>
    cluster.living.every((node) => {
      const share = shareOf(cluster, node);
      const load = cluster.loadOf(node.name);
      return node.drained ? load === 0 : Math.abs(load - share) <= 0.1 * share + 110;
    });
  if (cluster.runUntil(() => cluster.allKept && isEven(), MOST_MS, 250) === undefined)
    throw new Error(`${what}: not even after a minute: ${show(cluster)}`);
  rest(cluster);
  cluster.check();
  if (movesWithin(cluster, 30_000) > 0) throw new Error(`${what}: something moved at rest: ${show(cluster)}`);
}

simulate('after a failover to a database with another clock all is kept and even within a minute', live, {
  histories: 60,
});
