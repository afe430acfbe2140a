/** Upstreams as users write them: what is compiled, what is refused and with which words, and which requests ask. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { ConfigError } from '../../config/errors';
import { upstreamChange } from '../../config/change';
import type { LimitsDefinition } from '../../config/define/upstream';
import { resolveConfig } from '../../config/resolve/config';
import { resolveUpstream } from '../../config/resolve/upstream';
import { createUpstream } from '../../activities/upstream/http';
import { defineUpstream } from '../../activities/upstream/define';
import { UNLISTED } from '../../activities/upstream/spend/run';
import {
  setDefaultSpending,
  setWorkerSpending,
  spendingAs,
  unsetWorkerSpending,
  type Permit,
  type Replied,
  type Spending,
  type Wanted,
} from '../../activities/upstream/spending';
import { withUpstreamChanges } from '../../workflows/upstream/options';

const origin = 'https://esi.evetech.net';
const esi = () =>
  defineUpstream({
    name: 'esi',
    origin,
    headroom: 0.01,
    limits: {
      errors: {
        key: 'address',
        tokens: 100,
        window: '1m',
        shape: 'fixed',
        cost: ({ status }) => (status >= 400 ? 1 : 0),
      },
      group: {
        key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
        learn: 'headers',
        cost: { 200: 2, '4xx': 5 },
      },
    },
  });
const operation = (upstream: unknown) => ({ every: '1s', run: () => ({ value: 1 }), upstream });
const tracker = (name: string, upstream: unknown) => ({ name, operations: { look: operation(upstream) } });
const problemsOf = (config: object): readonly string[] => {
  try {
    resolveConfig(config);
    return [];
  } catch (error) {
    return (error as ConfigError).problems;
  }
};
const limitProblems = (limit: object): string[] => {
  const problems: string[] = [];
  resolveUpstream({ name: 'x', limits: { l: limit as never } }, problems);
  return problems;
};

describe('a config', () => {
  test('that lists an upstream beside its one tracker says that other code asks it', () => {
    const used = esi();
    const of = (listed: object) => resolveConfig({ trackers: [tracker('a', used) as never], ...listed }).upstreams;
    expect(of({})).toMatchObject([{ onlyTracker: 'a' }]);
    expect(of({ upstreams: [used] })?.[0]).not.toHaveProperty('onlyTracker');
  });

  test('has the upstreams that it lists and those that anything in it names, each once', () => {
    const [used, listed] = [esi(), defineUpstream({ name: 'other', origin })];
    const config = resolveConfig({ trackers: [tracker('a', used) as never], upstreams: [listed] });
    expect(config.upstreams?.map(({ name, onlyTracker }) => [name, onlyTracker])).toEqual([
      ['other', undefined],
      ['esi', 'a'],
    ]);
    expect(config.upstreams?.[1]?.options).toEqual({
      headroom: 0.01,
      callFirst: 0.3,
      bulkLeast: 0.05,
      limits: {
        errors: expect.objectContaining({ tokens: 100, windowMs: 60_000, shape: 'fixed', greatestCost: 1 }) as object,
        group: expect.objectContaining({ tokens: null, windowMs: null, greatestCost: 5, headroom: null }) as object,
      },
    });
  });

  test('whose upstream two trackers use, or a buffer besides, keeps no bucket by member alone', () => {
    const shared = esi();
    const two = resolveConfig({ trackers: [tracker('a', shared), tracker('b', shared)] as never });
    expect(two.upstreams?.[0]?.onlyTracker).toBeUndefined();
    const buffer = { name: 'c', run: () => undefined, upstream: shared };
    const besides = resolveConfig({ trackers: [tracker('a', shared)] as never, buffers: [buffer] });
    expect(besides.upstreams?.[0]?.onlyTracker).toBeUndefined();
  });

  test.each([
    [
      'a name in place of the upstream',
      tracker('a', 'esi'),
      /trackers\.a\.operations\.look\.upstream must be made by defineUpstream.*not the name 'esi'/,
    ],
    ['a client without a name', tracker('a', createUpstream({ origin })), /createUpstream has no name and no limits/],
    [
      'two of one name',
      { ...tracker('a', esi()), gate: { check: () => true, upstream: esi() } },
      /two upstreams named 'esi'/,
    ],
  ])('refuses %s', (_, one, text) => {
    expect(problemsOf({ trackers: [one] })).toEqual([expect.stringMatching(text)]);
  });
});

test.each<[string, object, RegExp]>([
  ['a key that is mistyped', { key: 'adress', tokens: 1, window: '1s' }, /key must be .*did you mean 'address'/],
  ['no key', { tokens: 1, window: '1s' }, /key is required/],
  [
    'an option that is mistyped',
    { key: 'address', token: 1 },
    /limits\.l\.token is not an option; did you mean 'tokens'/,
  ],
  ['a shape that there is not', { key: 'address', shape: 'floatin' }, /shape must be 'floating', 'fixed'/],
  ['tokens that are none', { key: 'address', tokens: NaN, window: '1s' }, /tokens must be a number/],
  ['tokens without a window', { key: 'address', tokens: 5 }, /window is required where tokens is given/],
  ['a format that there is not', { key: 'address', learn: 'githubb' }, /learn must be .*did you mean 'github'/],
  ['a status that is none', { key: 'address', cost: { '4x': 1 } }, /cost: '4x' is not a status/],
  ['a cost below zero', { key: 'address', cost: { 200: -1 } }, /cost\.200 must be a number from 0 on/],
  [
    'a calendar window of 2 h',
    { key: 'address', shape: 'calendar', tokens: 5, window: '2h' },
    /window of a calendar limit/,
  ],
  [
    'a zone that there is not',
    { key: 'address', shape: 'calendar', tokens: 5, window: '1d', from: 'Mars' },
    /time zone/,
  ],
  ['a zone without a calendar', { key: 'address', tokens: 5, window: '1d', from: 'UTC' }, /whose shape is 'calendar'/],
  ['places that nobody says', { key: 'address', shape: 'concurrent' }, /tokens is required of a concurrent limit/],
  ['headroom of everything', { key: 'address', headroom: 1 }, /headroom must be at most 0.5, not 1/],
])('a limit with %s is refused', (_, limit, text) => {
  expect(limitProblems(limit)).toEqual([expect.stringMatching(text)]);
});

test('a definition that is wrong is said when it is first used, where no config has looked at it', () => {
  const wrong = defineUpstream({ name: 'Esi', origin });
  expect(() => wrong.get('/')).toThrow(/name must be a name .*not "Esi"/);
});

describe('a change while it runs', () => {
  const known = { esi: resolveUpstream(esi(), []).options };
  const definition: LimitsDefinition = {
    name: 'esi',
    limits: {
      errors: { key: 'address', tokens: 100, window: '1m' },
      day: { key: 'address', tokens: 100, window: '1d', shape: 'calendar' },
    },
  };
  known.esi = resolveUpstream(definition, []).options;

  test('goes to the compiled path, and is laid over the definition', () => {
    const { upstream, change } = upstreamChange('upstreams.esi.limits.errors.window', '2m', known);
    expect([upstream, change]).toEqual(['esi', { path: 'limits.errors.windowMs', value: 120_000 }]);
    const changed = withUpstreamChanges(known.esi, {
      [change.path]: change.value,
      headroom: 0.02,
      'limits.gone.tokens': 3,
    });
    expect([changed.limits.errors!.windowMs, changed.headroom]).toEqual([120_000, 0.02]);
    expect(known.esi.limits.errors!.windowMs).toBe(60_000);
    expect(upstreamChange('upstreams.esi.headroom', '', known).change.value).toBeNull();
  });

  test.each([
    ['upstreams.esj.headroom', '0.1', /no upstream 'esj'; did you mean 'esi'/],
    ['upstreams.esi.limits.error.tokens', '5', /no limit 'error'; did you mean 'errors'/],
    ['upstreams.esi.limits.errors.token', '5', /no option .*did you mean 'upstreams.esi.limits.errors.tokens'/],
    ['upstreams.esi.limits.errors.cost', '5', /that may be set: it is code/],
    ['upstreams.esi.limits.errors.tokens', 'many', /tokens must be a number, not 'many'/],
    ['upstreams.esi.limits.errors.tokens', '0', /tokens must be at least 1, not 0/],
    ['upstreams.esi.limits.errors.shape', 'calendar', /cannot be set to or from 'calendar'/],
    ['upstreams.esi.limits.day.window', '7d', /window of a calendar limit cannot be set/],
  ])('%s=%s is refused', (path, value, text) => {
    expect(() => upstreamChange(path, value, known)).toThrow(text);
  });
});

describe('a request of an upstream with limits', () => {
  let server: Server;
  let upstream: ReturnType<typeof defineUpstream>;
  const told: [string, Replied | undefined][] = [];
  const permit: Permit = {
    maySend: true,
    report: (answer) => told.push(['report', answer]) > 0,
    release: () => void told.push(['release', undefined]),
    lose: () => void told.push(['lose', undefined]),
  };
  const wanted: [string, Wanted][] = [];
  const spending: Spending = {
    permit: (name, of) => {
      wanted.push([name, of]);
      return permit;
    },
  };

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/hangs') return;
      if (request.url === '/slow-down') response.writeHead(429, { 'retry-after': '7' }).end('{"e":1}');
      else response.writeHead(request.url === '/gone' ? 404 : 200, { 'x-left': '3' }).end('{"a":1}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const limits = { all: { key: 'address', tokens: 5, window: '1s' } } as const;
    upstream = defineUpstream({ name: 'fake', origin: `http://127.0.0.1:${port}`, timeoutMs: 60_000, limits });
  });
  beforeEach(() => void (told.length = wanted.length = 0));
  afterAll(async () => {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  });

  test('asks the run that it is made in, also after an await, and tells it the answer', async () => {
    await spendingAs(spending, async () => {
      await Promise.resolve();
      await upstream.get('/here', { id: '7' });
    });
    expect(wanted).toEqual([['fake', { method: 'GET', path: '/here', id: '7' }]]);
    expect(told).toEqual([['report', expect.objectContaining({ status: 200, body: { a: 1 } })]]);
    expect(told[0]![1]!.header('x-left')).toBe('3');
  });

  test('tells of an error, and of a refusal for how long', async () => {
    await spendingAs(spending, () => expect(upstream.get('/gone')).rejects.toThrow('404'));
    await spendingAs(spending, () => expect(upstream.get('/slow-down')).rejects.toMatchObject({ scope: 'member' }));
    expect(told).toEqual([
      ['report', expect.objectContaining({ status: 404, body: { a: 1 } })],
      ['report', expect.objectContaining({ status: 429, refusedForMs: 7_000 })],
    ]);
  });

  test('that has no answer is lost, one that never left is given back', async () => {
    await spendingAs(spending, () =>
      expect(upstream.get('/hangs', { timeoutMs: 100 })).rejects.toThrow('no answer within'),
    );
    await spendingAs(spending, () =>
      expect(upstream.get('/bad', { headers: { 'a b': '' } })).rejects.toThrow('cannot'),
    );
    expect(told.map(([what]) => what)).toEqual(['lose', 'release']);
  });

  test('is not sent by a process that stood still since it had its permit', async () => {
    const stale: Spending = { permit: () => ({ ...permit, maySend: false }) };
    await spendingAs(stale, () => expect(upstream.get('/here')).rejects.toThrow('its right to send ended'));
    expect(told.map(([what]) => what)).toEqual(['release']);
  });

  test('whose limits another thread keeps waits for the word of it', async () => {
    const far: Spending = { permit: () => Promise.resolve(permit) };
    await spendingAs(far, () => upstream.get('/here'));
    expect(told).toHaveLength(1);
  });

  test('is refused where the worker’s config does not name its upstream, for nobody would count it', async () => {
    setDefaultSpending(UNLISTED);
    try {
      await expect(upstream.get('/here')).rejects.toThrow(
        /^the upstream 'fake' has limits, .* does not name it: write/,
      );
      await expect(upstream.reserve()).rejects.toThrow(TypeError);
      // Another worker of the process keeps its limits.
      const worker: Spending = { permit: () => permit };
      setWorkerSpending(worker);
      setDefaultSpending(UNLISTED);
      await upstream.get('/here');
      unsetWorkerSpending(worker);
    } finally {
      unsetWorkerSpending(UNLISTED);
    }
  });

  test('outside of any run and worker is not limited', async () => {
    await expect(upstream.get('/here')).resolves.toMatchObject({ status: 200 });
    expect((await upstream.reserve()).maySend).toBe(true);
  });
});
