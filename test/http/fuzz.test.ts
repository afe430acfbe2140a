/**
 * Requests made of the API's document, right and wrong ones, to real servers: none hangs, none fails in a way that
 * nobody foresaw, every answer has the form that the document says. Some hundreds here;
 * `LONGWATCH_FUZZ=10000 npx jest test/http/fuzz` sends as many as it says.
 */
import fc from 'fast-check';
import { pino } from 'pino';
import { ROUTES } from '../../http/routes/all';
import { Problem } from '../../http/schemas';
import { SEED } from '../support/simulate';
import { requests, type Request as Sent } from './arbitrary';
import { Desk } from './desk';

const RUNS = Number(process.env.LONGWATCH_FUZZ ?? 300);
/** A start waits for a worker for 30 s, a move for 15 s. */
const HANGS_MS = 45_000;

let desk: Desk;
const unforeseen: string[] = [];
const log = pino({}, { write: (line: string) => void unforeseen.push(line) });
beforeAll(async () => {
  desk = await Desk.start();
});
afterAll(() => desk?.close());

const THERE = {
  tracker: ['things'],
  buffer: ['mail'],
  job: ['energy'],
  name: ['things', 'mail', 'energy'],
  id: ['c', 'a/b', '{d}'],
  pool: ['0', '1', '-1', '1.5', '99999999999'],
  letter: ['0-1', '0-', '999999-999999999999999'],
  bucket: ['esi/errors:x', 'esi/errors', 'esi'],
};
const patterns = ROUTES.map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replace(/\{\w+\}/g, '[^/]+')}$`),
}));

describe('bodies', () => {
  const send = (body: string | ReadableStream, headers: Record<string, string> = {}) => {
    const type = { 'content-type': 'application/json' };
    const init = { method: 'POST', body, headers: { ...type, ...headers }, duplex: 'half' };
    return desk.dashboard(new Request('http://localhost/api/v1/buffers/mail/push', init));
  };
  const entries = (json: string) => send(`{"entries":[${json}],"wait":true}`);

  test.each([
    ['larger than 8 MB', () => send(JSON.stringify({ entries: ['x'.repeat(9 * 2 ** 20)] })), 413],
    ['that say so', () => send('{}', { 'content-length': '99999999' }), 413],
    ['that do not say so', () => send(stream(10)), 413],
    ['that are not JSON', () => send('{entries'), 400],
    ['that say that they are in gzip', () => send('{}', { 'content-encoding': 'gzip' }), 415],
    ['that are not UTF-8', () => send(bytes(0x7b, 0xff, 0x7d)), 400],
    ['of null', () => send('null'), 400],
    ['nested 100,000 deep', () => entries(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), 400],
    ['nested 150 deep', () => entries(`${'['.repeat(150)}${']'.repeat(150)}`), 200],
    ['with a key twice', () => send('{"entries":[],"entries":[1]}'), 200],
    ['with an unknown key', () => send('{"entries":[1],"entires":[1]}'), 400],
    ['with __proto__', () => entries('{"__proto__":{"polluted":true}}'), 200],
    ['with __proto__ as an option', () => send('{"entries":[1],"__proto__":{"wait":true}}'), 400],
    ['with NUL', () => entries('"\\u0000"'), 200],
    ['with half a surrogate pair', () => entries('"\\ud800"'), 200],
  ])('%s', async (_, ask, status) => {
    const response = await ask();
    const body = await response.text();
    expect({ status: response.status, body }).toMatchObject({ status });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

// Last: it stops and removes what it likes.
test(`${RUNS} requests`, async () => {
  const dashboard = Desk.dashboard(desk.stack, { open: true, actor: 'fuzz', log });
  const ask = async ({ method, path, headers, body }: Sent): Promise<void> => {
    const request = new Request(`http://localhost/api/v1${path}`, { method, headers, body });
    const { pathname } = new URL(request.url);
    const response = await within(dashboard(request), `${method} ${path} ${body}`);
    const text = await response.text();
    const told = { method, path, body, status: response.status, text, unforeseen: [...unforeseen] };
    if (response.status >= 500) expect({ ...told, again: response.headers.get('retry-after') }).toMatchObject({ status: 503, again: '5' }); // prettier-ignore
    const said: unknown = response.status === 304 ? undefined : JSON.parse(text);
    if (response.status >= 400) expect({ ...told, said }).toEqual({ ...told, said: Problem.parse(said) });
    const at = pathname.slice('/api/v1'.length);
    const route = patterns.find(
      ({ route, pattern }) => route.method.toUpperCase() === method && pattern.test(at),
    )?.route;
    if (response.status === 200 && route)
      expect({ ...told, said }).toEqual({ ...told, said: route.answer.parse(said) });
  };
  try {
    await fc.assert(fc.asyncProperty(requests(THERE), ask), {
      numRuns: RUNS,
      seed: SEED,
      endOnFailure: true,
      interruptAfterTimeLimit: undefined,
    });
  } finally {
    await dashboard.close();
  }
  expect(unforeseen).toEqual([]);
  // It has kept nothing from working.
  expect(await desk.ask('/count')).toMatchObject({ status: 200 });
}, 3_600_000);

function within<T>(answer: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${HANGS_MS} ms: ${what}`)), HANGS_MS);
  });
  return Promise.race([answer, hangs]).finally(() => clearTimeout(timer));
}

function stream(megabytes: number): ReadableStream {
  let left = megabytes;
  return new ReadableStream({
    pull: (controller) => (left-- > 0 ? controller.enqueue(new Uint8Array(2 ** 20).fill(32)) : controller.close()),
  });
}

function bytes(...values: number[]): ReadableStream {
  return new ReadableStream({
    start: (controller) => {
      controller.enqueue(new Uint8Array(values));
      controller.close();
    },
  });
}
