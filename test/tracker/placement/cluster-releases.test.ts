/**
 * Old and new code side by side, in random histories of a simulated cluster: nodes of releases that know the states of
 * members up to different versions, some with a way back, some without any code for them, join, die, freeze, are
 * drained, are at their targets, and are started again with another release. No node ever keeps a pool whose states it
 * cannot read (`simulated-nodes.ts` throws); a pool that some node can read has a keeper; a drained node keeps only
 * what nobody else can read; and it all comes to rest.
 */
import { knownStates, type KnownStates } from '../../../activities/tracker/member/loading';
import { mayKeep, newestRead } from '../../../activities/tracker/placement/nodes';
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';
import { equalPools, movesWithin, rest, show } from './cluster-scenario';
import { SimulatedCluster } from './simulated-cluster';
import type { SimulatedNode, SimulatedPool } from './simulated-server';

const same = (state: unknown): unknown => state;
const release = (version: number, down = {}): KnownStates => knownStates([['eve', { version, migrate: {}, down }]]);
const RELEASES: Record<string, KnownStates> = {
  'without code': knownStates([]),
  one: release(1),
  two: release(2),
  'one with a way back': release(1, { 2: same }),
};
const EVENTS = [
  'kill',
  'join',
  'drain',
  'drain and resume',
  'other release',
  'target',
  'freeze',
  'die at once',
] as const;

class ReleasesWorld {
  private readonly cluster: SimulatedCluster;
  private names = 0;

  constructor(private readonly draw: Draws) {
    this.cluster = new SimulatedCluster({
      draw,
      pools: equalPools(draw.size(4, 60)),
      viewDelayMs: draw.one([0, 0, 1_000]),
      heartbeatTimeoutMs: draw.one([2_000, 5_000]),
    });
    for (let nodes = draw.whole(2, 5); nodes > 0; nodes--) this.join();
  }

  live(): void {
    this.settle('the start');
    this.cluster.counts.longestMove = 0;
    for (let events = this.draw.whole(2, 4); events > 0; events--) this.settle(this.happen());
    if (movesWithin(this.cluster, 30_000) > 0) this.broken('something moved at rest');
  }

  private join(): SimulatedNode {
    const name = `n${this.names++}`;
    return this.cluster.join(name, {}, [], RELEASES[this.draw.one(Object.keys(RELEASES))]);
  }

  private happen(): string {
    const { cluster, draw } = this;
    const { name } = draw.one(cluster.living);
    const event = cluster.living.length > 1 ? draw.one(EVENTS) : 'join';
    if (event === 'join') this.join();
    else if (event === 'kill') cluster.kill(name);
    else if (event === 'freeze') cluster.freeze(name, draw.between(500, 15_000));
    else if (event === 'target') cluster.set(name, { places: draw.whole(0, 10) });
    else if (event === 'die at once') {
      // A new node dies while pools are on their way to it.
      const { name: newcomer } = this.join();
      cluster.run(draw.between(0, 4_000));
      cluster.kill(newcomer);
    } else {
      cluster.drain(name);
      cluster.run(draw.between(0, 12_000));
      if (event === 'drain and resume') cluster.resume(name);
      if (event === 'other release') {
        cluster.stop(name);
        cluster.run(draw.between(0, 3_000));
        this.join();
      }
    }
    return `${event} ${name}`;
  }

  private settle(after: string): void {
    const { cluster } = this;
    try {
      rest(cluster);
      cluster.check();
    } catch (error) {
      this.broken(`after ${after}: ${(error as Error).message}`);
    }
    for (const pool of cluster.pools.values()) {
      const { on, runs, states } = pool;
      const id = `${pool.pool.id} with states of ${states}`;
      if ((!on?.alive || !runs) && this.readers(pool, states).length > 0)
        this.broken(`after ${after} nobody keeps ${id}, which somebody can read`);
      const known = on?.placer.pools.get(pool.pool.id)?.states ?? 0;
      const others = this.readers(pool, known, true).filter((node) => node !== on);
      if (on?.drained && others.length > 0) this.broken(`after ${after} ${on.name} keeps ${id}, and is drained`);
    }
    const { longestMove } = cluster.counts;
    if (longestMove >= 1_500 && after !== 'the start')
      this.broken(`after ${after} a pool that moved waited ${longestMove} ms`);
  }

  /** The nodes that may keep such a pool. One without code for the members may, if it comes to it. */
  private readers({ pool: { kind } }: SimulatedPool, states: number, given = false): SimulatedNode[] {
    return this.cluster.living.filter(({ placer, code }) => {
      const [self] = placer.view(0);
      const least = given ? 0 : Infinity;
      return mayKeep(self, kind) && (newestRead(code.reads, 'eve') ?? least) >= states;
    });
  }

  private broken(why: string): never {
    const code = this.cluster.living.map(({ name, code: { reads, writes } }) =>
      [name, reads.eve, writes.eve].join('/'),
    );
    throw new Error(`${why}\n${code.join(' ')}\n${show(this.cluster)}`);
  }
}

simulate(
  'releases side by side: who cannot read a pool never keeps it, who can does',
  (seed) => new ReleasesWorld(new Draws(seed)).live(),
  {
    histories: 80,
  },
);

test('nodes of the newer release share what the older one cannot read, and that one does not ask for it', () => {
  const cluster = new SimulatedCluster({ draw: new Draws(7), pools: equalPools(12) });
  const { placer: older } = cluster.join('old', { up: false }, [], RELEASES.one);
  cluster.join('a', {}, [], RELEASES.two);
  rest(cluster);
  cluster.resume('old');
  cluster.join('b', {}, [], RELEASES.two);
  rest(cluster);
  const kept = cluster.living.map(({ name, placer }) => [name, placer.pools.size]);
  expect(Object.fromEntries(kept)).toEqual({ old: 0, a: 6, b: 6 });
  for (let seconds = 0; seconds < 30; seconds++) {
    cluster.run(1_000);
    expect(older.row(cluster.now).ask).toBeNull();
  }
});
