/** Migrations of a database that has data: what an existing user has when a new version comes. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { pino } from 'pino';
import { migrate } from '../../workers/migrate';
import { poolOf } from '../../workflows/tracker/plan';
import { slotOf } from '../../workflows/tracker/slots';
import { Stack } from '../support/stack';
import { hashId } from '../../workflows/lib/hash';

const FOLDER = path.join(__dirname, '..', '..', 'db', 'migrations');
const log = pino({ level: 'silent' });

let stack: Stack;
let older: string;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
  older = mkdtempSync(path.join(tmpdir(), 'longwatch-migrations-'));
});
afterAll(async () => {
  rmSync(older, { recursive: true, force: true });
  await stack.close();
});

/** A database of its own, as the migrations before this one leave it. */
async function before(name: string, migration: string): Promise<{ url: string; client: Client }> {
  await stack.sql(`create database ${name}`);
  const url = stack.servers.databaseUrl.replace(/\/[^/?]+(\?|$)/, `/${name}$1`);
  const folder = path.join(older, name);
  mkdirSync(folder);
  const names = readdirSync(FOLDER).sort();
  for (const file of names.slice(0, names.indexOf(migration))) {
    copyFileSync(path.join(FOLDER, file), path.join(folder, file));
  }
  await migrate(url, log, { folder, table: 'longwatch_migrations' });
  const client = new Client({ connectionString: url });
  await client.connect();
  return { url, client };
}

test('members get their slots, pools their counts; the database is taken further once', async () => {
  const { url, client } = await before('slots', '0007_slots.sql');
  try {
    const pools = 5;
    const ids = Array.from({ length: 300 }, (_, i) => `id-${i}`);
    await client.query(`insert into longwatch.tracker (name, options, pools) values ('t', '{}', $1)`, [pools]);
    await client.query(`insert into longwatch.pool (tracker, pool, roster_version) values ('t', 0, 7)`);
    await client.query(
      `insert into longwatch.member (tracker, id, hash, pool, stamp, roster_version, removed_at)
       select 't', id, hash, longwatch.pool_of(hash, $3), 1, 1, case when n % 10 = 0 then now() end
       from unnest($1::text[], $2::bigint[]) with ordinality as x (id, hash, n)`,
      [ids, ids.map(hashId), pools],
    );
    expect(await migrate(url, log, undefined, 'cli')).toContain('0007_slots');
    expect(await migrate(url, log, undefined, 'cli')).toEqual([]);
    const audit = await client.query('select via, what, outcome, after from longwatch.audit');
    expect(audit.rows).toEqual([
      {
        ...{ via: 'cli', what: 'migrate', outcome: 'done' },
        after: { applied: expect.arrayContaining(['0007_slots']) as string[] },
      },
    ]);

    const { rows } = await client.query<{ id: string; slot: number }>(
      `select id, slot::float8 as slot from longwatch.member`,
    );
    expect(rows).toHaveLength(300);
    for (const { id, slot } of rows) expect(slot).toBe(slotOf(hashId(id)));

    const counted = new Map<number, number>();
    ids.forEach((id, i) => {
      const pool = poolOf(hashId(id), pools);
      if ((i + 1) % 10 !== 0) counted.set(pool, (counted.get(pool) ?? 0) + 1);
    });
    const counts = await client.query<{ pool: number; members: number; roster_version: number }>(
      `select pool, members, roster_version::int from longwatch.pool order by pool`,
    );
    expect(new Map(counts.rows.map((row) => [row.pool, row.members]))).toEqual(counted);
    expect(counts.rows[0]!.roster_version).toBe(7);
  } finally {
    await client.end();
  }
});

test('drains of a node that ended together have the same end each', async () => {
  const { url, client } = await before('drains', '0029_drains.sql');
  try {
    await client.query(
      `insert into longwatch.node (name, host, pid, drained_at, drained_for, drained_until)
       values ('both', 'h', 1, now(), '{a,b}', '2100-01-01'), ('part', 'h', 1, null, '{a}', '2100-01-01'),
              ('always', 'h', 1, now(), '{a}', null), ('none', 'h', 1, null, '{}', null)`,
    );
    expect(await migrate(url, log)).toContain('0029_drains');
    const { rows } = await client.query<{ name: string }>(
      `select n.name, drained_until::date::text as whole, d.tracker, d.until::date::text as until
       from longwatch.node n left join unnest(n.drained_for, n.drained_for_until) d (tracker, until) on true order by 1, 3`,
    );
    expect(rows).toEqual([
      { name: 'always', whole: null, tracker: 'a', until: null },
      { name: 'both', whole: '2100-01-01', tracker: 'a', until: '2100-01-01' },
      { name: 'both', whole: '2100-01-01', tracker: 'b', until: '2100-01-01' },
      { name: 'none', whole: null, tracker: null, until: null },
      { name: 'part', whole: null, tracker: 'a', until: '2100-01-01' },
    ]);
  } finally {
    await client.end();
  }
});
