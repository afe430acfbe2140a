/** Bad days: workers, the Temporal server and PostgreSQL are killed or frozen while ids are added and removed. */
import path from 'node:path';
import { resolveConfig } from '../../client';
import type { TrackerHandle } from '../../client/tracker';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './fixture.config';

const CONFIG = path.join(__dirname, 'fixture.config.ts');
const ids = Array.from({ length: 150 }, (_, i) => `id-${i}`);

let stack: Stack;
let chaos: TrackerHandle;
let workers: WorkerProcess[] = [];

async function worker(): Promise<WorkerProcess> {
  const one = stack.workerProcess(CONFIG);
  await one.ready;
  workers.push(one);
  return one;
}

async function kill(one: WorkerProcess): Promise<void> {
  workers = workers.filter((other) => other !== one);
  await one.kill('SIGKILL');
}

/** Members whose value is older than `seconds`. */
async function old(seconds: number): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from longwatch.member m left join longwatch.value v on v.member = m.key
     where m.removed_at is null and (v.fetched_at is null or v.fetched_at < now() - make_interval(secs => $1))`,
    [seconds],
  );
  return row!.n;
}

const allFresh = (withinMs: number) => eventually('everybody is fresh', async () => (await old(1.5)) === 0, withinMs);

/** Sends until it is accepted, as a caller does that must not lose it. */
const insist = (what: string, send: () => Promise<unknown>) => eventually(what, () => send().then(() => true), 40_000);

async function members(): Promise<string[]> {
  const found: string[] = [];
  for await (const member of chaos.list()) found.push(member.id);
  return found.sort();
}

beforeAll(async () => {
  stack = await Stack.start();
  await worker();
  await worker();
  chaos = (await stack.connect()).tracker('chaos');
  await chaos.start(resolveConfig(config).trackers[0]!.options);
  await chaos.add(ids, { wait: true });
  await allFresh(20_000);
}, 60_000);
afterAll(() => stack.close(), 30_000);

test('kill -9 of a worker: the other keeps all of its pools within a heartbeat timeout and a little', async () => {
  await kill(workers[0]!);
  // Not until the dead one's values have aged can being fresh mean anything.
  await eventually('it is noticed', async () => (await old(1)) > 0, 5_000).catch(() => undefined);
  await allFresh(8_000);
  await worker();
});

test('a frozen worker is replaced, and when it goes on nothing of it is written', async () => {
  await stack.sql('create table if not exists writes (pid int, at timestamptz default clock_timestamp())');
  await stack.sql(`create or replace function note_write() returns trigger language plpgsql as
    $$ begin insert into writes (pid) values ((new.value ->> 'pid')::int); return new; end $$`);
  await stack.sql(
    'create trigger note_write before insert or update on longwatch.value for each row execute function note_write()',
  );
  const frozen = workers[0]!;
  await frozen.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  await allFresh(8_000);
  const [held] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from longwatch.pool p join longwatch.node n on n.name = p.node where n.pid = $1`,
    [frozen.pid],
  );
  expect(held!.n).toBe(0);
  const [{ at }] = (await stack.sql<{ at: string }>('select clock_timestamp()::text as at')) as [{ at: string }];
  await frozen.kill('SIGCONT');
  await eventually('it has gone on and flushed', async () => {
    const [row] = await stack.sql<{ seen: boolean }>(
      `select seen_at > $2::timestamptz as seen from longwatch.node where pid = $1`,
      [frozen.pid, at],
    );
    return row?.seen;
  });
  // Until it takes a pool anew, every write of it would be one of an old shift.
  const late = await stack.sql(
    `select 1 from writes w where w.pid = $1 and w.at > $2::timestamptz
       and not exists (select 1 from longwatch.pool p join longwatch.node n on n.name = p.node
                       where n.pid = $1 and p.taken_at > $2::timestamptz)`,
    [frozen.pid, at],
  );
  expect(late).toEqual([]);
  await stack.sql('drop trigger note_write on longwatch.value');
}, 40_000);

test('PostgreSQL gone for 8 s: no worker ends, values are fresh soon after it is back', async () => {
  await stack.servers.kill('postgres');
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  await stack.servers.start('postgres');
  await allFresh(10_000);
  for (const one of workers) expect(one.process.exitCode).toBeNull();
}, 40_000);

test('Temporal gone for 20 s: everybody stays fresh, an add says that it could not, and all is well afterwards', async () => {
  await stack.servers.kill('temporal');
  let oldest = 0;
  const until = Date.now() + 20_000;
  while (Date.now() < until) {
    oldest = Math.max(oldest, await old(3));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  expect(oldest).toBe(0);
  await expect(chaos.add(['too-soon'])).rejects.toThrow(/Temporal/);
  await stack.servers.start('temporal');
  await insist('an add is taken again', () => chaos.add(['afterwards'], { wait: true }));
  await allFresh(10_000);
  expect((await chaos.status()).quarantined).toBe(0);
}, 90_000);

test('everything killed at once while ids come and go: what was accepted holds', async () => {
  const expected = new Set(await members());
  const changes = (async () => {
    for (let i = 0; i < 20; i++) {
      await insist(`add ${i}`, () => chaos.add([`new-${i}`]));
      expected.add(`new-${i}`);
      await insist(`remove ${i}`, () => chaos.remove([`id-${i}`]));
      expected.delete(`id-${i}`);
    }
  })();
  await stack.servers.kill('temporal');
  await stack.servers.kill('postgres');
  for (const one of [...workers]) await kill(one);
  await stack.servers.start('postgres');
  await stack.servers.start('temporal');
  await worker();
  await changes;
  // An add whose answer was lost may have been accepted as well: then it is tracked, and nobody was told otherwise.
  await eventually(
    'all that was accepted is tracked, and nothing else but an add without an answer',
    async () => {
      const now = await members();
      return [...expected].every((id) => now.includes(id)) && now.every((id) => expected.has(id) || id === 'too-soon');
    },
    30_000,
  );
  const wrong = await stack.sql(
    `select 1 from longwatch.member m join longwatch.tracker t on t.name = m.tracker
     where m.pool <> longwatch.pool_of(m.hash, t.pools)`,
  );
  expect(wrong).toEqual([]);
  await allFresh(20_000);
}, 120_000);

test('stray errors of user code end no worker', async () => {
  await chaos.add(['stray'], { wait: true });
  await allFresh(10_000);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await allFresh(5_000);
  expect(workers[0]!.process.exitCode).toBeNull();
}, 30_000);
