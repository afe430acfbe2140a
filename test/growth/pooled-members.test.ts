/**
 * Members that receive, buffers and limits of upstreams through PgBouncer in transaction mode, on two workers: each
 * message is handled once and in its order, each entry is run, and no limit is passed. Skipped where `pooler.test.ts`
 * is.
 */
import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, defineBuffer, defineTracker, resolveConfig, type Longwatch, type MemberContext } from '../../exports';
import { defineUpstream } from '../../exports/upstream';
import { eventually, Stack } from '../support/stack';
import { findPgBouncer, Pooler } from './pooler';

const program = findPgBouncer();
const withPooler = program === undefined ? describe.skip : describe;

const MEMBERS = Array.from({ length: 20 }, (_, i) => `member-${i}`);
const REQUESTS = 20;
const WINDOW_MS = 5_000;
const TOKENS = 40;

const words: unknown[] = [];
const buffer = defineBuffer({
  name: 'words',
  run: (entries: { from: string; n: number }[]) => void words.push(...entries),
});
const counters = defineTracker({
  name: 'counters',
  operations: {},
  poolSize: 5,
  state: { initial: () => ({ last: 0 }) },
  receive: (message: { n: number }, ctx: MemberContext<{ last: number }, number>) => {
    if (message.n !== ctx.state.last + 1) throw new Error(`${message.n} came after ${ctx.state.last}`);
    ctx.state.last = message.n;
    ctx.push('words', { from: ctx.id, n: message.n });
    ctx.reply(message.n);
  },
});
const accounts = defineTracker({
  name: 'accounts',
  operations: {},
  poolSize: 5,
  receive: {
    transaction: true,
    handle: async (message: { pay: number }, ctx: MemberContext<unknown, number>) => {
      await ctx.query('insert into payment (account, amount) values ($1, $2)', [ctx.id, message.pay]);
      if (message.pay < 0) throw new Error('not below zero');
      const { rows } = await ctx.query<{ sum: number }>(
        'select sum(amount)::int as sum from payment where account = $1',
        [ctx.id],
      );
      ctx.reply(rows[0]!.sum);
    },
  },
});

withPooler('through PgBouncer in transaction mode', () => {
  let stack: Stack;
  let pooler: Pooler;
  let longwatch: Longwatch;
  let server: http.Server;
  /** When the upstream was asked, milliseconds. */
  const asked: number[] = [];

  beforeAll(async () => {
    server = http.createServer((_, response) => {
      asked.push(performance.now());
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stack = await Stack.start({ own: true });
    pooler = await Pooler.start(program!, stack);
    await stack.sql('create table payment (account text not null, amount integer not null)');
    const urls = { databaseUrl: pooler.url, directDatabaseUrl: stack.servers.databaseUrl };
    const weather = defineUpstream({
      name: 'weather',
      origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      limits: { calls: { key: 'address', tokens: TOKENS, window: WINDOW_MS } },
    });
    const stations = defineTracker({
      name: 'stations',
      poolSize: 5,
      operations: {
        look: {
          every: '1s',
          upstream: weather,
          run: async ({ id }) => ({ value: (await weather.get(`/${id}`)).body }),
        },
      },
    });
    const config = { trackers: [counters, accounts, stations], buffers: [buffer] };
    for (const nodeName of ['one', 'two']) await stack.worker(config, { ...urls, nodeName });
    const { temporalAddress: address, namespace } = stack.servers;
    longwatch = await connect({ environment: { temporal: { address, namespace }, ...urls } });
    const { trackers, buffers } = resolveConfig(config);
    for (const { name, options } of buffers) await longwatch.buffer(name).start(options);
    for (const { name, options } of trackers) await longwatch.tracker(name).start(options);
  });
  afterAll(async () => {
    await longwatch?.close();
    await stack?.close();
    await pooler?.stop();
    server?.close();
  });

  test('requests to twenty members at once: each once, in its order, and what they push is run', async () => {
    const numbers = Array.from({ length: REQUESTS }, (_, i) => i + 1);
    const replies = await Promise.all(
      MEMBERS.map((id) => {
        const member = longwatch.tracker(counters).member(id);
        return Promise.all(numbers.map((n) => member.request({ n }, { timeout: '30s' })));
      }),
    );
    expect(replies).toEqual(MEMBERS.map(() => numbers));
    await eventually('all that they pushed is run', () => words.length >= MEMBERS.length * REQUESTS);
    expect(new Set(words.map((word) => JSON.stringify(word))).size).toBe(MEMBERS.length * REQUESTS);
    expect(await longwatch.tracker(counters).dead.count()).toBe(0);
  });

  test('handlers with transactions of their own: all of it or nothing', async () => {
    const ids = MEMBERS.slice(0, 5);
    const outcomes = await Promise.all(
      ids.map((id) => {
        const member = longwatch.tracker(accounts).member(id);
        return Promise.allSettled([1, 2, -1, 3].map((pay) => member.request({ pay }, { timeout: '30s' })));
      }),
    );
    for (const outcome of outcomes) {
      expect(outcome.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message))).toEqual([
        1,
        3,
        expect.stringContaining('not below zero'),
        6,
      ]);
    }
    expect(await stack.sql('select sum(amount)::int as sum, count(*)::int as rows from payment')).toEqual([
      { sum: 30, rows: 15 },
    ]);
  });

  test('a limit that two workers share is not passed, and is used', async () => {
    await longwatch.tracker('stations').add(MEMBERS, { wait: 'live' });
    await eventually('three windows are spent', () => asked.length >= 3 * TOKENS);
    const most = asked.map((from) => asked.filter((at) => at >= from && at < from + WINDOW_MS).length);
    expect(Math.max(...most)).toBeLessThanOrEqual(TOKENS);
    const [bucket] = await longwatch.budget.list({ upstream: 'weather' });
    expect(bucket).toMatchObject({ limit: 'calls', tokens: TOKENS });
  });
});
