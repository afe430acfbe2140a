/**
 * A dashboard that many share, on real servers: lists that hang keep neither commands nor the stream waiting. And the
 * code of a config, where the dashboard was given it.
 */
import { Client } from 'pg';
import { defineBuffer } from '../../config/define/buffer';
import { defineTracker } from '../../config/define/tracker';
import type { Dashboard } from '../../http/app';
import { resolveConfig } from '../../config/resolve/config';
import type { Json } from '../../workflows/lib/json';
import { ask, Desk } from './desk';
import { listen } from './listener';

let desk: Desk;
beforeAll(async () => {
  desk = await Desk.start();
});
afterAll(() => desk?.close());

test('fifty lists that hang keep neither a command nor the stream waiting', async () => {
  const blocking = new Client({ connectionString: desk.stack.servers.databaseUrl });
  await blocking.connect();
  try {
    await blocking.query('begin');
    await blocking.query('lock table longwatch.member_dead in access exclusive mode');
    const hanging = Array.from({ length: 50 }, () => desk.ask('/trackers/things/dead'));
    let ended = 0;
    for (const each of hanging) void each.then(() => ended++);
    expect(await desk.ask('/buffers/mail/flush', { method: 'POST', body: {} })).toMatchObject({ status: 200 });
    const stream = await listen(desk.dashboard);
    expect(await stream.next()).toMatchObject({ event: 'snapshot' });
    await stream.leave();
    expect(ended).toBe(0);
    await blocking.query('commit');
    expect((await Promise.all(hanging)).map(({ status }) => status)).toEqual(hanging.map(() => 200));
  } finally {
    await blocking.end();
  }
});

describe('the code of a config', () => {
  const turned = (text: Json): string => [...(text as string)].reverse().join('');
  const codec = { name: 'turned', encode: turned, decode: turned };
  const tracker = defineTracker({
    name: 'things',
    operations: { old: { every: '1h', codec, run: async () => ({ value: 'abc' }) } },
  });
  const buffer = defineBuffer<{ to: string }>({ name: 'letters', key: ({ to }) => to, run: async () => undefined });
  let knowing: Dashboard;

  beforeAll(async () => {
    const longwatch = await desk.stack.connect();
    const { trackers, buffers } = resolveConfig({ trackers: [tracker], buffers: [buffer] });
    await longwatch.buffer('letters').start(buffers[0]!.options);
    await desk.stack.sql(
      `insert into longwatch.value (member, operation, value, codec, fetched_at)
       select key, 'old', '"cba"', 'turned', now() from longwatch.member where id = 'c'`,
    );
    knowing = Desk.dashboard(desk.stack, {
      open: true,
      trackers: trackers.map(({ definition }) => definition),
      buffers: buffers.map(({ definition }) => definition),
    });
  });
  afterAll(() => knowing?.close());

  const push = { method: 'POST', body: { entries: [{ to: 'ana' }] } };
  const valueOf = async (of: Dashboard) => {
    const { body } = await ask(of, '/trackers/things/members/c');
    return (body as { values: { operation: string }[] }).values.find(({ operation }) => operation === 'old');
  };

  test('without it, a value is shown as it is stored, and an entry whose key is a function is refused', async () => {
    expect(await valueOf(desk.dashboard)).toMatchObject({ value: 'cba', encodedBy: 'turned' });
    const { status, body } = await desk.ask('/buffers/letters/push', push);
    expect({ status, body }).toMatchObject({ status: 400, body: { error: { code: 'InvalidEntry' } } });
    expect(JSON.stringify(body)).toContain('longwatch dashboard --config');
  });

  test('with it, the value is shown in clear, and the entry is pushed', async () => {
    expect(await valueOf(knowing)).toMatchObject({ value: 'abc', encodedBy: null });
    expect(await ask(knowing, '/buffers/letters/push', push)).toMatchObject({ status: 200, body: { accepted: 1 } });
  });
});
