/**
 * Growth at a million ids: a tracker of 1,000,000 members in the store gets one pool more, then twice as many, while
 * 5,000 ids of another tracker are fetched each second. How long the tracker's row is locked is seen by a procedure in
 * PostgreSQL that asks for it all the time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { splitPools } from '../../activities/tracker/roster/layout';
import { Database } from '../../activities/lib/database';
import type { Stack } from '../../test/support/stack';
import type { Bench } from '../harness/bench';
import { defineScenario, type Reading } from '../harness/scenario';
import { Upstream } from '../tracker/upstream';
import { Watch } from '../tracker/watch';

const MEMBERS = 1_000_000;
const POOLS = 200;
const BESIDE = 5_000;
/** How often the newest value beside is looked at. Milliseconds. */
const LOOK_MS = 25;

export const scenario = defineScenario({
  title: `growth of a tracker with ${MEMBERS} ids in the store, ${BESIDE} ids at 1 s of another one beside it`,
  async run(bench) {
    const upstream = await Upstream.start(bench, 0);
    const watch = await Watch.start(bench, {
      // No shift of it ends by itself meanwhile.
      tracker: { shift: '1h' },
      operation: { every: '1s' },
      origin: upstream.origin,
    });
    await watch.fill(BESIDE);
    await fillStore(bench, watch.stack);
    const database = new Database({ url: watch.stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
    bench.defer(() => database.close());
    await bench.sleep(5_000);

    const idle = await during(watch.stack, () => bench.sleep(3_000));
    const one = await during(watch.stack, () => splitPools(database, { tracker: 'large', members: POOLS * 5_000 + 1 }));
    const double = await during(watch.stack, () => splitPools(database, { tracker: 'large', members: POOLS * 10_000 }));
    // A split is what must be short; in a row of them, the longest of many says more of the machine.
    return [...readings('one split', one, idle, '<= 10 ms'), ...readings(`${POOLS - 1} splits in a row`, double, idle)];
  },
});

function readings(what: string, seen: Seen, idle: Seen, lock?: string): Reading[] {
  const reference = { reference: idle.lockedMs, referenceName: 'without a split' };
  return [
    { measure: `${what}, all of it, recounts too`, ours: seen.tookMs, unit: 'ms' },
    {
      measure: `${what}, tracker's row locked at most`,
      ours: seen.lockedMs,
      unit: 'ms',
      ...reference,
      target: lock,
    },
    {
      measure: `${what}, longest without a flush beside`,
      ours: seen.silentMs,
      unit: 'ms',
      reference: idle.silentMs,
      referenceName: 'without a split',
      target: '<= 1000 ms',
    },
    { measure: `${what}, shifts that ended beside`, ours: seen.ended, unit: '', target: '<= 0' },
  ];
}

/** Straight into the tables: what a bulk of a million leaves, without its workflows. */
async function fillStore(bench: Bench, stack: Stack): Promise<void> {
  bench.say(`${MEMBERS.toLocaleString('en-US')} members go into the store`);
  await stack.sql(
    `insert into longwatch.tracker (name, options, state, pools)
     select 'large', options, 'stopped', $1 from longwatch.tracker where name = 'bench'`,
    [POOLS],
  );
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select 'large', 'm' || i, ('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint, i, 1
     from generate_series(1, $1::int) i`,
    [MEMBERS],
  );
  await stack.sql(
    `insert into longwatch.pool (tracker, pool, roster_version, members)
     select 'large', longwatch.pool_of(hash, $1::int), 1, count(*) from longwatch.member where tracker = 'large' group by 2`,
    [POOLS],
  );
  await stack.sql('vacuum analyze longwatch.member');
}

interface Seen {
  tookMs: number;
  lockedMs: number;
  silentMs: number;
  ended: number;
}

async function during(stack: Stack, work: () => Promise<unknown>): Promise<Seen> {
  const tokens = async () =>
    (
      await stack.sql<{ sum: number }>(`select sum(token)::float8 as sum from longwatch.pool where tracker = 'bench'`)
    )[0]!.sum;
  const before = await tokens();
  const locked = await askForLock(stack);
  const silence = watchSilence(stack);
  const began = performance.now();
  await work();
  const tookMs = performance.now() - began;
  const [lockedMs, silentMs] = [await locked.longest(), await silence.longest()];
  return { tookMs, lockedMs, silentMs, ended: (await tokens()) - before };
}

/**
 * Asks for the tracker's row as every change of a roster does, in the server itself, and notes how long it waited at
 * most.
 */
async function askForLock(stack: Stack): Promise<{ longest: () => Promise<number> }> {
  await stack.sql(`create table if not exists asked (longest float8 not null, over boolean not null)`);
  await stack.sql(`truncate asked`);
  await stack.sql(`insert into asked values (0, false)`);
  const asking = stack.sql(`
    do $$
    declare began timestamptz; waited float8 := 0; asked_at timestamptz := clock_timestamp();
    begin
      while not (select over from asked) and clock_timestamp() < asked_at + interval '5 minutes' loop
        began := clock_timestamp();
        perform 1 from longwatch.tracker where name = 'large' for share;
        waited := greatest(waited, extract(epoch from clock_timestamp() - began) * 1000);
        commit;
        perform pg_sleep(0.0005);
      end loop;
      update asked set longest = waited;
    end $$`);
  return {
    longest: async () => {
      await stack.sql(`update asked set over = true`);
      await asking;
      return (await stack.sql<{ longest: number }>(`select longest from asked`))[0]!.longest;
    },
  };
}

/** How long no new value was written beside, at most. */
function watchSilence(stack: Stack): { longest: () => Promise<number> } {
  let over = false;
  let longest = 0;
  const watching = (async () => {
    let newest = 0;
    let since = performance.now();
    while (!over) {
      const [row] = await stack.sql<{ newest: number }>(
        `select coalesce(extract(epoch from max(fetched_at)), 0)::float8 as newest from longwatch.value`,
      );
      const now = performance.now();
      if (row!.newest !== newest) [newest, since] = [row!.newest, now];
      else longest = Math.max(longest, now - since);
      await delay(LOOK_MS);
    }
  })();
  return {
    longest: async () => {
      over = true;
      await watching;
      return longest;
    },
  };
}
