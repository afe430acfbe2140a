/**
 * Four ways to keep a value that grows by itself, on one table: written by a job (eager), computed when read (lazy),
 * kept in memory or in a cache over a socket, brought up to date by a trigger. The scenario measures each read and
 * write.
 */
import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import type { Pool } from 'pg';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { loop, type Pace } from './loop';

const PLAYERS = 100_000;
const CONNECTIONS = 8;
const SECONDS = 2;
const TURNS = 3;

const SCHEMA = `
  create table hot (
    id bigint primary key, stamina integer not null, as_of timestamptz not null default now(),
    max_stamina integer not null, gain integer not null
  ) with (fillfactor = 50);
  create table hot_triggered (like hot including all) with (fillfactor = 50);
  insert into hot select n, n % 100, now(), 200, 1 + n % 5 from generate_series(1, ${PLAYERS}) n;
  insert into hot_triggered select * from hot;
  create function catch_up() returns trigger language plpgsql as $$
  declare ticks integer := extract(epoch from now() - old.as_of)::integer / 300;
  begin
    if ticks > 0 then
      new.stamina := least(new.stamina + ticks * new.gain, new.max_stamina);
      new.as_of := old.as_of + ticks * interval '5 minutes';
    end if;
    return new;
  end $$;
  create trigger catch_up before update on hot_triggered for each row execute function catch_up();
`;

const NOW = `least(stamina + gain * (extract(epoch from now() - as_of)::integer / 300), max_stamina)`;
const READ = {
  eager: 'select stamina from hot where id = $1',
  lazy: `select ${NOW} as stamina from hot where id = $1`,
};
const WRITE = {
  eager: 'update hot set stamina = greatest(stamina - 1, 0) where id = $1',
  lazy: `update hot set stamina = greatest(${NOW} - 1, 0),
           as_of = as_of + (extract(epoch from now() - as_of)::integer / 300) * interval '5 minutes' where id = $1`,
  trigger: 'update hot_triggered set stamina = greatest(stamina - 1, 0) where id = $1',
};

export async function measureStamina(bench: Bench, pool: Pool): Promise<Reading[]> {
  await pool.query(SCHEMA);
  await pool.query('vacuum (analyze) hot');
  await pool.query('vacuum (analyze) hot_triggered');
  const statement = (kind: string, text: string): Promise<Pace> =>
    loop(CONNECTIONS, SECONDS, () => pool.query({ name: kind, text, values: [anyone()] }));
  // Once around first: connections, plans, pages.
  for (const [kind, text] of Object.entries(READ))
    await loop(CONNECTIONS, 1, () => pool.query({ name: `read-${kind}`, text, values: [anyone()] }));
  bench.say('reads: as written by a job, computed, from a socket, from memory');
  const eager = await statement('read-eager', READ.eager);
  const lazy = await statement('read-lazy', READ.lazy);
  const socket = await bareSocket(bench);
  const memory = await inMemory();
  bench.say('writes: plain, computed, by a trigger');
  // In turns, so that none has the disk's better minute; the best of each counts.
  const best: Record<string, Pace> = {};
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [kind, text] of Object.entries(WRITE)) {
      const pace = await statement(`write-${kind}`, text);
      if (pace.rate > (best[kind]?.rate ?? 0)) best[kind] = pace;
    }
  }
  const { eager: plain, lazy: computed, trigger: triggered } = best as Record<keyof typeof WRITE, Pace>;
  const reading = (measure: string, ours: Pace, reference: Pace, referenceName: string): Reading => ({
    measure,
    ours: ours.rate,
    unit: '/s',
    reference: reference.rate,
    referenceName,
  });
  return [
    reading('one value read, computed by PostgreSQL', lazy, eager, 'stored value'),
    reading('the least that a cache over a socket takes', socket, lazy, 'computed by PostgreSQL'),
    reading('one value read, computed from memory', memory, lazy, 'computed by PostgreSQL'),
    reading('one value written, computed by the statement', computed, plain, 'plain update'),
    reading('one value written, computed by a trigger', triggered, computed, 'computed by the statement'),
  ];
}

const anyone = (): number => 1 + Math.floor(Math.random() * PLAYERS);

/** No cache on another machine or process answers sooner than a server that only sends back what it got. */
async function bareSocket(bench: Bench): Promise<Pace> {
  const server = createServer((socket) => socket.setNoDelay(true).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const sockets: Socket[] = [];
  bench.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = connect(port, '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    sockets.push(socket);
  }
  return loop(CONNECTIONS, SECONDS, async (connection) => {
    const socket = sockets[connection]!;
    const answer = once(socket, 'data');
    socket.write(`GET player:${anyone()}`);
    await answer;
  });
}

/** The cost for a program that keeps value and time itself: nothing has to be dropped when a tick passes. */
async function inMemory(): Promise<Pace> {
  const kept = new Map(
    Array.from({ length: PLAYERS }, (_, index) => [
      index + 1,
      { stamina: index % 100, asOf: Date.now(), gain: 1 + (index % 5) },
    ]),
  );
  let sum = 0;
  const began = performance.now();
  const acts = 5_000_000;
  for (let i = 0; i < acts; i++) {
    const { stamina, asOf, gain } = kept.get(anyone())!;
    sum += Math.min(stamina + gain * Math.floor((Date.now() - asOf) / 300_000), 200);
  }
  const seconds = (performance.now() - began) / 1_000;
  if (sum < 0) throw new Error('cannot be');
  return { rate: acts / seconds, p50: 0, p99: 0 };
}
