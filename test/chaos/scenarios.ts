/**
 * Bad days: workers, the Temporal server and PostgreSQL are killed or frozen while ids are added and removed. Each
 * scenario breaks a cluster, mends it, and throws when something does not hold; what it breaks and for how long is
 * chosen by a seed. Run once each by `kill.test.ts`, and again and again by `npm run chaos` (`main.ts`).
 */
import assert from 'node:assert/strict';
import { wrongCounts } from '../support/roster';
import { eventually } from '../support/stack';
import { clockScenarios } from './clocks';
import { pause, type Cluster } from './cluster';
import { frozenScenarios } from './frozen';
import { networkScenarios } from './network';
import type { Choices } from './random';

export interface ChaosScenario {
  name: string;
  /** The promises that must hold. */
  title: string;
  /** It has failed when it takes longer. Milliseconds. */
  limitMs: number;
  /** As long as an outage may be; only run where it is asked for (`npm run chaos -- --long`). */
  long?: true;
  /** @param round counts how often it has been run on this cluster, from 0: for ids of its own. */
  run(cluster: Cluster, choose: Choices, round: number): Promise<void>;
}

const killScenarios: readonly ChaosScenario[] = [
  {
    name: 'worker',
    title: 'kill -9 of a worker: the other keeps all of its pools within a heartbeat timeout and a little',
    limitMs: 40_000,
    run: async (cluster, choose) => {
      await cluster.kill(choose.one(cluster.workers));
      // Not until the dead one's values have aged can being fresh mean anything.
      await eventually('it is noticed', async () => (await cluster.old(1)) > 0, 5_000).catch(() => undefined);
      await cluster.allFresh(8_000);
      await cluster.addWorker();
    },
  },
  {
    name: 'frozen',
    title: 'a frozen worker is replaced, and when it goes on nothing of it is written',
    limitMs: 60_000,
    run: async (cluster, choose) => {
      const { stack } = cluster;
      await noteWrites(cluster);
      const frozen = choose.one(cluster.workers);
      await frozen.kill('SIGSTOP');
      await pause(choose.between(4_000, 8_000));
      await cluster.allFresh(8_000);
      const [held] = await stack.sql<{ n: number }>(
        `select count(*)::int as n from longwatch.pool p join longwatch.node n on n.name = p.node where n.pid = $1`,
        [frozen.pid],
      );
      assert.equal(held!.n, 0, 'the frozen worker still holds pools');
      const [now] = await stack.sql<{ at: string }>('select clock_timestamp()::text as at');
      await frozen.kill('SIGCONT');
      await eventually('it has gone on and flushed', async () => {
        const [row] = await stack.sql<{ seen: boolean }>(
          `select seen_at > $2::timestamptz as seen from longwatch.node where pid = $1`,
          [frozen.pid, now!.at],
        );
        return row?.seen;
      });
      // Until it takes a pool anew, every write of it would be one of an old shift.
      const late = await stack.sql(
        `select 1 from writes w where w.pid = $1 and w.at > $2::timestamptz
           and not exists (select 1 from longwatch.pool p join longwatch.node n on n.name = p.node
                           where n.pid = $1 and p.taken_at > $2::timestamptz)`,
        [frozen.pid, now!.at],
      );
      assert.equal(late.length, 0, 'the frozen worker wrote after it went on');
      await stack.sql('drop trigger note_write on longwatch.value');
    },
  },
  {
    name: 'postgres',
    title: 'PostgreSQL gone for some seconds: no worker ends, values are fresh soon after it is back',
    limitMs: 60_000,
    run: async (cluster, choose) => {
      await cluster.stack.servers.kill('postgres');
      await pause(choose.between(4_000, 10_000));
      await cluster.stack.servers.start('postgres');
      await cluster.allFresh(10_000);
      for (const one of cluster.workers) assert.equal(one.process.exitCode, null, 'a worker has ended');
    },
  },
  {
    name: 'temporal',
    title: 'Temporal gone for 20 s: everybody stays fresh, an add says that it could not, and all is well afterwards',
    limitMs: 90_000,
    run: async (cluster, choose, round) => {
      await cluster.stack.servers.kill('temporal');
      assert.equal(
        await cluster.mostOld(3, choose.between(16_000, 22_000)),
        0,
        'members went stale while Temporal was away',
      );
      cluster.uncertain.add(`too-soon-${round}`);
      await assert.rejects(cluster.tracker.add([`too-soon-${round}`]), /Temporal/);
      await cluster.stack.servers.start('temporal');
      await cluster.insistOnAdding(`afterwards-${round}`);
      await cluster.allFresh(10_000);
      assert.equal((await cluster.tracker.status()).quarantined, 0, 'pools are in quarantine');
    },
  },
  {
    name: 'everything',
    title: 'everything killed at once while ids come and go: what was accepted holds',
    limitMs: 120_000,
    run: async (cluster, choose, round) => {
      const { stack } = cluster;
      const leaving = choose.some([...cluster.expected].sort(), 20);
      const changes = (async () => {
        for (const [i, id] of leaving.entries()) {
          await cluster.insistOnAdding(`new-${round}-${i}`);
          await cluster.insistOnRemoving(id);
        }
      })();
      changes.catch(() => undefined);
      for (const victim of choose.some(['temporal', 'postgres', 'workers'] as const, 3)) {
        await pause(choose.between(0, 300));
        if (victim !== 'workers') await stack.servers.kill(victim);
        else for (const one of [...cluster.workers]) await cluster.kill(one);
      }
      for (const server of choose.some(['temporal', 'postgres'] as const, 2)) await stack.servers.start(server);
      await cluster.addWorker();
      await cluster.addWorker();
      await changes;
      await eventually('all that was accepted is tracked, and nothing else but an add without an answer', async () => {
        const now = await cluster.members();
        return (
          [...cluster.expected].every((id) => now.has(id)) &&
          [...now].every((id) => cluster.expected.has(id) || cluster.uncertain.has(id))
        );
      });
      assert.deepEqual(await wrongCounts(stack), [], 'a pool has not as many members as its row says');
      await cluster.allFresh(20_000);
    },
  },
  {
    name: 'stray',
    title: 'stray errors of user code end no worker',
    limitMs: 40_000,
    run: async (cluster) => {
      await cluster.insistOnAdding('stray');
      await cluster.allFresh(10_000);
      await pause(1_000);
      await cluster.allFresh(5_000);
      for (const one of cluster.workers) assert.equal(one.process.exitCode, null, 'a worker has ended');
      await cluster.insistOnRemoving('stray');
    },
  },
  {
    name: 'temporal-60s',
    title: 'Temporal gone for 60 s: everybody stays fresh; 5 s after it is back an add is tracked and all is well',
    limitMs: 150_000,
    long: true,
    run: async (cluster, _choose, round) => {
      const { stack } = cluster;
      await stack.servers.kill('temporal');
      const until = Date.now() + 60_000;
      for (let tries = 0; Date.now() < until; tries++) {
        assert.equal(await cluster.old(3), 0, 'members went stale while Temporal was away');
        if (tries === 0) {
          cluster.uncertain.add(`gone-${round}`);
          await assert.rejects(cluster.tracker.add([`gone-${round}`]), /Temporal/);
        }
        await pause(500);
      }
      await stack.servers.start('temporal');
      const back = Date.now();
      await cluster.insistOnAdding(`back-${round}`);
      await cluster.allFresh(5_000 - (Date.now() - back));
      const { quarantined, poolsOnShift, pools } = await cluster.tracker.status();
      assert.deepEqual({ quarantined, poolsOnShift }, { quarantined: 0, poolsOnShift: pools }, 'pools are not kept');
    },
  },
  {
    name: 'postgres-20s',
    title: 'PostgreSQL gone for 20 s: no worker ends, values are fresh 3 s after it is back',
    limitMs: 90_000,
    long: true,
    run: async (cluster) => {
      await cluster.stack.servers.kill('postgres');
      await pause(20_000);
      await cluster.stack.servers.start('postgres');
      await cluster.allFresh(3_000);
      for (const one of cluster.workers) assert.equal(one.process.exitCode, null, 'a worker has ended');
    },
  },
];

export const scenarios: readonly ChaosScenario[] = [
  ...killScenarios,
  ...frozenScenarios,
  ...networkScenarios,
  ...clockScenarios,
];

/** The scenarios of a round that nobody has chosen. */
export const shortScenarios = scenarios.filter(({ long }) => !long);

/** From now on the table `writes` says which process wrote which value when. */
async function noteWrites({ stack }: Cluster): Promise<void> {
  await stack.sql('create table if not exists writes (pid int, at timestamptz default clock_timestamp())');
  await stack.sql('truncate writes');
  await stack.sql(`create or replace function note_write() returns trigger language plpgsql as
    $$ begin insert into writes (pid) values ((new.value ->> 'pid')::int); return new; end $$`);
  await stack.sql(
    `create or replace trigger note_write before insert or update on longwatch.value
     for each row execute function note_write()`,
  );
}

/**
 * The order of a round, and each scenario's own source of choices. The first round is the one of the test: all of them
 * in the order above.
 */
export function plan(
  seed: number,
  round: number,
  order: Choices,
  only: readonly ChaosScenario[] = shortScenarios,
): { scenario: ChaosScenario; seed: number }[] {
  const ordered = round === 0 ? only : order.some(only, only.length);
  // Far apart, and the same for a scenario whether or not others are run.
  return ordered.map((scenario) => ({ scenario, seed: seed + 1_000 * round + scenarios.indexOf(scenario) }));
}
