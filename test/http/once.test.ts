/**
 * A request that is sent twice is carried out once (`Idempotency-Key`), and what somebody else has changed meanwhile is
 * not overwritten (`If-Match`): on real servers, with answers that are lost and processes that end in between.
 */
import { createHash } from 'node:crypto';
import type { Dashboard } from '../../http/app';
import { newToken } from '../../http/who';
import { eventually } from '../support/stack';
import { Proxy } from '../support/proxy';
import { ask, Desk } from './desk';

let desk: Desk;
beforeAll(async () => {
  desk = await Desk.start();
});
afterAll(() => desk?.close());

const post = (path: string, key: string, body: unknown, of: Dashboard = desk.dashboard) =>
  ask(of, path, { method: 'POST', body, headers: { 'idempotency-key': key } });
const accepted = async () => ((await desk.ask('/buffers/mail')).body as { accepted: number }).accepted;
const requests = () =>
  desk.stack.sql<{ status: number | null }>('select status from longwatch.request order by begun_at');

describe('an idempotency key', () => {
  test('the same request again gets the same answer, and nothing is done', async () => {
    const before = await accepted();
    const first = await post('/buffers/mail/push', 'a', { entries: [1, 2], wait: true });
    const second = await post('/buffers/mail/push', 'a', { entries: [1, 2], wait: true });
    expect(first).toMatchObject({ status: 200, body: { accepted: 2 } });
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect({ status: second.status, body: second.body }).toEqual({ status: first.status, body: first.body });
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(await accepted()).toBe(before + 2);
  });

  test.each([
    ['another body', '/buffers/mail/push', { entries: [3] }],
    ['another address', '/buffers/mail/flush', {}],
  ])('with %s it is refused, and nothing is done', async (_, path, body) => {
    await post('/buffers/mail/push', `differs ${path}`, { entries: [1], wait: true });
    const before = await accepted();
    expect(await post(path, `differs ${path}`, body)).toMatchObject({
      status: 422,
      body: { error: { code: 'RequestDiffers' } },
    });
    expect(await accepted()).toBe(before);
  });

  test('of many at once one does it, and the others hear that it goes on, or its answer', async () => {
    const before = await accepted();
    const all = await Promise.all(
      Array.from({ length: 12 }, () => post('/buffers/mail/push', 'crowd', { entries: ['x'], wait: true })),
    );
    expect(all.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(1);
    for (const { status, body } of all)
      if (status !== 200)
        expect({ status, body }).toMatchObject({ status: 409, body: { error: { code: 'RequestGoesOn' } } });
    await eventually(
      'its answer',
      async () => (await post('/buffers/mail/push', 'crowd', { entries: ['x'], wait: true })).status === 200,
    );
    expect(await accepted()).toBe(before + 1);
  });

  test('it is one of its caller: the same key of another one is another request', async () => {
    const [ana, ben] = [newToken('ana', 'operate'), newToken('ben', 'operate')];
    const both = Desk.dashboard(desk.stack, { tokens: `${ana.line} ${ben.line}` });
    const before = await accepted();
    for (const { token } of [ana, ben])
      expect(
        await ask(both, '/buffers/mail/push', {
          method: 'POST',
          body: { entries: [1], wait: true },
          headers: { 'idempotency-key': 'shared', authorization: `Bearer ${token}` },
        }),
      ).toMatchObject({ status: 200 });
    expect(await accepted()).toBe(before + 2);
    await both.close();
  });

  test('what was refused may be tried again with the same key', async () => {
    expect(await post('/buffers/male/push', 'later', { entries: [1] })).toMatchObject({ status: 404 });
    expect(await post('/buffers/mail/push', 'later', { entries: [1] })).toMatchObject({ status: 200 });
  });

  test('a command that found no Temporal may be tried again with the same key', async () => {
    const { databaseUrl } = desk.stack.servers;
    const without = Desk.dashboard(desk.stack, {
      environment: { temporal: { address: '127.0.0.1:1', namespace: 'default' }, databaseUrl },
      open: true,
    });
    expect(await post('/trackers/things/pause', 'pause', {}, without)).toMatchObject({
      status: 503,
      body: { error: { code: 'TemporalUnavailable' } },
    });
    await without.close();
    expect(await post('/trackers/things/pause', 'pause', {})).toMatchObject({ status: 200, body: { state: 'paused' } });
    await desk.ask('/trackers/things/resume', { method: 'POST', body: {} });
  });

  test('a push whose answer is not known is not done again', async () => {
    const { databaseUrl, temporalAddress, namespace } = desk.stack.servers;
    const proxy = await Proxy.start(`postgres://${temporalAddress}`);
    const address = new URL(proxy.url).host;
    const cut = Desk.dashboard(desk.stack, {
      environment: { temporal: { address, namespace }, databaseUrl },
      open: true,
    });
    // It is connected, so that the push is what the network swallows.
    expect(await ask(cut, '/buffers/mail')).toMatchObject({ status: 200 });
    proxy.swallow();
    const first = await post('/buffers/mail/push', 'lost', { entries: ['lost'], timeoutMs: 5_000, wait: true }, cut);
    expect(first.status).toBe(503);
    proxy.pass();
    const again = await post('/buffers/mail/push', 'lost', { entries: ['lost'], timeoutMs: 5_000, wait: true }, cut);
    expect({ status: again.status, body: again.body }).toEqual({ status: 503, body: first.body });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    await cut.close();
    proxy.close();
  });

  test('one whose process has ended before its answer is not done again: nobody knows whether it was', async () => {
    const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
    const text = JSON.stringify({ entries: [1] });
    const begin = (key: string, ago: string) =>
      desk.stack.sql(
        `insert into longwatch.request (actor, key_hash, request_hash, begun_at) values ('tester', $1, $2, now() - $3::interval)`,
        [hash(key), hash(`POST /api/v1/buffers/mail/push\n${text}`), ago],
      );
    await begin('dead', '11 minutes');
    await begin('goes on', '9 minutes');
    await begin('yesterday', '25 hours');
    const before = await accepted();
    expect(await post('/buffers/mail/push', 'dead', { entries: [1] })).toMatchObject({ status: 409, body: { error: { code: 'RequestUnanswered' } } }); // prettier-ignore
    expect(await post('/buffers/mail/push', 'goes on', { entries: [1] })).toMatchObject({ status: 409, body: { error: { code: 'RequestGoesOn' } } }); // prettier-ignore
    expect(await accepted()).toBe(before);
    // A day later it is forgotten.
    expect(await post('/buffers/mail/push', 'yesterday', { entries: [1], wait: true })).toMatchObject({ status: 200 });
    expect(await accepted()).toBe(before + 1);
  });

  test('whose sender has left is carried out, and has its answer when it is sent again', async () => {
    const leaving = new AbortController();
    const send = (signal?: AbortSignal) =>
      desk.dashboard(
        new Request('http://localhost/api/v1/jobs/energy/run', {
          method: 'POST',
          body: '{}',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'left' },
          signal,
        }),
      );
    const before = (await requests()).length;
    const first = send(leaving.signal);
    await eventually('its row, so that it is being carried out', async () => (await requests()).length > before);
    leaving.abort('the client has gone');
    expect((await first).status).toBe(200);
    const again = await send();
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    expect(await again.json()).toMatchObject({ by: 'hand', rows: 20 });
  });

  test('old ones are forgotten, a hundred with each new one', async () => {
    await desk.stack.sql('truncate longwatch.request');
    await desk.stack.sql(
      `insert into longwatch.request (actor, key_hash, request_hash, begun_at, status)
       select 'old', sha256(n::text::bytea), '', now() - interval '2 days', 200 from generate_series(1, 150) n`,
    );
    await post('/buffers/mail/flush', 'one', {});
    expect(await requests()).toHaveLength(51);
    await post('/buffers/mail/flush', 'two', {});
    expect(await requests()).toHaveLength(2);
  });

  test('its text may be anything that a header can have', async () => {
    expect(await post('/buffers/mail/flush', 'é'.repeat(200), {})).toMatchObject({ status: 200 });
    expect(await post('/buffers/mail/flush', 'x'.repeat(201), {})).toMatchObject({ status: 400 });
  });
});

describe('If-Match', () => {
  const set = (every: string, headers: Record<string, string>) =>
    desk.ask('/trackers/things/config', {
      method: 'PATCH',
      body: { changes: { 'operations.look.every': every } },
      headers,
    });
  const read = (headers: Record<string, string> = {}) => desk.ask('/trackers/things/config', { headers });

  test('of two who have read the same, the second one is told', async () => {
    const tag = (await read()).headers.get('etag')!;
    expect(await set('3s', { 'if-match': tag })).toMatchObject({ status: 200, body: { changed: true } });
    const second = await set('4s', { 'if-match': tag });
    expect(second).toMatchObject({ status: 412, body: { error: { code: 'Changed' } } });
    expect(await set('4s', { 'if-match': second.headers.get('etag')! })).toMatchObject({ status: 200 });
    expect(await set('5s', { 'if-match': '*' })).toMatchObject({ status: 200 });
  });

  const upstream = async () =>
    desk.stack.sql(
      `insert into longwatch.upstream (name, options) values ('esi', '{"limits": {"errors": {"shape": "fixed", "tokens": 100, "windowMs": 60000}}}')
       on conflict do nothing`,
    );

  // Each with values that differ from what was there, and from each other.
  test.each([
    ['a tracker', '/trackers/things/config', 'poolSize', (n: number) => 600 + n],
    ['a buffer', '/buffers/mail/config', 'maxBatchSize', (n: number) => 20 + n],
    ['a job', '/jobs/energy/config', 'keep', (n: number) => 200 + n],
    ['an upstream', '/upstreams/esi/config', 'headroom', (n: number) => 0.3 + n / 100],
  ])('of two who set at once, one is told that %s has changed', async (_, path, option, value) => {
    await upstream();
    // The two come by different processes: nothing in one of them keeps them apart.
    const other = Desk.dashboard(desk.stack, { open: true, actor: 'other' });
    const setting = async () =>
      ((await desk.ask(path)).body as { items: { path: string; compiled: unknown }[] }).items.find(
        (each) => each.path === option,
      )!.compiled;
    try {
      for (let n = 0; n < 10; n += 2) {
        const headers = { 'if-match': (await desk.ask(path)).headers.get('etag')! };
        const set = (of: Dashboard, to: number) =>
          ask(of, path, { method: 'PATCH', body: { changes: { [option]: to } }, headers });
        const both = await Promise.all([set(desk.dashboard, value(n)), set(other, value(n + 1))]);
        const won = both.findIndex(({ status }) => status === 200);
        expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
        expect(both[1 - won]).toMatchObject({ body: { error: { code: 'Changed' } } });
        expect(await setting()).toBe(value(n + won));
      }
    } finally {
      await other.close();
    }
  });

  test('what is no option may change meanwhile', async () => {
    const tag = (await read()).headers.get('etag')!;
    const state = (to: string) => desk.ask(`/trackers/things/${to}`, { method: 'POST', body: {} });
    const all = await Promise.all([state('pause'), set('6s', { 'if-match': tag }), state('resume')]);
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
    // One that a proxy on the way has made weak.
    const weak = `W/${(await read()).headers.get('etag')!}`;
    expect(await set('7s', { 'if-match': weak })).toMatchObject({ status: 200 });
    const compressed = (await read()).headers.get('etag')!.replace(/"$/, '-gzip"');
    expect(await set('8s', { 'if-match': compressed })).toMatchObject({ status: 200 });
    expect(await set('9s', { 'if-match': compressed })).toMatchObject({ status: 412 });
  });

  test('what is the same as it was is not sent again', async () => {
    const tag = (await read()).headers.get('etag')!;
    expect(await read({ 'if-none-match': tag })).toMatchObject({ status: 304, body: undefined });
  });
});
