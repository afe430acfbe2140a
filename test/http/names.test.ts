/**
 * Members whose ids a browser or a proxy would read as something else, by `fetch` over a socket: each is added,
 * and read by its own address.
 */
import { serveDashboard, type Served } from '../../http/serve';
import { Desk } from './desk';

let desk: Desk;
let served: Served;
beforeAll(async () => {
  desk = await Desk.start();
  served = await serveDashboard(desk.dashboard, { host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await served?.stop();
  await desk?.stack.close();
});

/** As docs/dashboard.md says, and as the page does. */
const written = (name: string): string => encodeURIComponent(name.replace(/^(~|\.\.?$)/, '~$1'));
const IDS = ['.', '..', '~', '~.', '~~a', 'a/b', '/', 'a//b', '%', '%2e', '%2e%2e', '%252F', '?x=1', '#x', ' ', 'a b', '+', '\\', ';', '{id}', ':id', '*', '🦉', '‮abc'].filter((id) => id.trim() !== ''); // prettier-ignore

test('each is there, and found by its address', async () => {
  const post = await fetch(`${served.url}api/v1/trackers/things/members`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ids: IDS, wait: true }),
  });
  expect(post.status).toBe(200);
  for (const id of IDS) {
    const found = await fetch(`${served.url}api/v1/trackers/things/members/${written(id)}`);
    expect({ id, status: found.status, body: (await found.json()) as unknown }).toMatchObject({
      status: 200,
      body: { id },
    });
    const next = await fetch(`${served.url}api/v1/trackers/things/members/${written(id)}/next`);
    expect({ id, status: next.status }).toEqual({ id, status: 200 });
  }
});

test.each([
  ['an empty name', '~', 400],
  ['a name that is not there', 'none', 404],
  ['a stray percent sign', '%zz', 404],
])('%s', async (_, name, status) => {
  expect((await fetch(`${served.url}api/v1/trackers/things/members/${name}`)).status).toBe(status);
});
