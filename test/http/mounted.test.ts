/**
 * The dashboard in a program that has a server of `node:http`, as frameworks on top of it hand it on: with its prefix
 * or without, and behind what has read the body already. No server of ours is asked.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { getRequestListener } from '@hono/node-server';
import { dashboardWith } from './alone';

let server: Server | undefined;
afterEach(() => void server?.close());

/** @param before what the program does with a request before it hands it on */
async function mounted(before: (request: IncomingMessage) => Promise<void> | void): Promise<string> {
  const dashboard = dashboardWith({ open: true, prefix: '/longwatch' });
  const listener = getRequestListener((request) => dashboard(request), { overrideGlobalObjects: false });
  const hand: RequestListener = (request, response) =>
    void Promise.resolve(before(request)).then(() => listener(request, response));
  server = createServer(hand).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/longwatch`;
}

const json = { 'content-type': 'application/json' };
const refetch = (url: string, body: BodyInit): Promise<Response> =>
  fetch(`${url}/api/v1/trackers/things/refetch`, {
    method: 'POST',
    headers: json,
    body,
    duplex: 'half',
  } as RequestInit);
const IDS = JSON.stringify({ ids: ['only-this-one'] });
const streamed = (): ReadableStream => new Blob([IDS]).stream();

test.each([
  ['with its prefix', () => undefined],
  [
    'without: a framework has taken it off',
    (request: IncomingMessage) => void (request.url = request.url!.slice('/longwatch'.length)),
  ],
])('a request that comes %s', async (_, before) => {
  const url = await mounted(before);
  expect((await fetch(`${url}/api/v1/me`)).status).toBe(200);
  // It has its body, and asks for a database that is away.
  for (const body of [IDS, streamed()]) expect((await refetch(url, body)).status).toBe(503);
});

test.each(['/api', '/api/v1', '/x'])(
  'below %s, whether what stands before it takes that off or not',
  async (prefix) => {
    const dashboard = dashboardWith({ open: true, prefix });
    for (const path of [`${prefix}/api/v1/me`, '/api/v1/me'])
      expect([path, (await dashboard(new Request(`http://localhost${path}`))).status]).toEqual([path, 200]);
  },
);

test('a command whose body was read before it is refused: without its ids it would be one on all members', async () => {
  const url = await mounted(async (request) => {
    await text(request);
  });
  for (const body of [IDS, streamed()]) {
    const refused = await refetch(url, body);
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('mount the dashboard before what reads bodies');
  }
  // One that has none is one on all.
  expect((await fetch(`${url}/api/v1/trackers/things/refetch`, { method: 'POST' })).status).toBe(503);
});

test('nor where nobody has said how long the body is: a framework that hands on the request itself has read it', async () => {
  const dashboard = dashboardWith({ open: true });
  const url = 'http://localhost/api/v1/trackers/things/refetch';
  const request = (): Request => new Request(url, { method: 'POST', headers: json, body: IDS });
  expect((await dashboard(request())).status).toBe(503);
  const taken = request();
  await taken.text();
  const held = request();
  held.body!.getReader();
  for (const used of [taken, held]) {
    const refused = await dashboard(used);
    expect([refused.status, await refused.text()]).toEqual([
      400,
      expect.stringContaining('mount the dashboard before what reads bodies') as string,
    ]);
  }
  const empty = new Request(url, { method: 'POST', headers: { 'content-length': '0' }, body: '' });
  await empty.text();
  expect((await dashboard(empty)).status).toBe(503);
});
