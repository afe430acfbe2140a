/** The example chat: its front by a socket as the page uses it, and its load, on a worker of this process. */
import { once } from 'node:events';
import { connect } from 'node:net';
import WebSocket from 'ws';
import config from '../../../examples/chat/longwatch.config';
import { Front } from '../../../examples/chat/front';
import { countHandled, fill, Speaker } from '../../../examples/chat/load';
import { rooms, users, type Line } from '../../../examples/chat/rooms';
import { drawing } from '../../../examples/eve/nodes/drawing';
import { resolveConfig, type Longwatch } from '../../../exports';
import { eventually, Stack } from '../../support/stack';

let stack: Stack;
let longwatch: Longwatch;
let front: Front;
let address: string;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
  front = new Front(longwatch);
  address = await front.start();
});
afterAll(async () => {
  await front?.close();
  await stack?.close();
});

/** A user with the page open: the lines that it shows. */
async function enter(room: string, user: string) {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/rooms/${room}?user=${user}`);
  const lines: Line[] = [];
  const here = new Set<string>();
  socket.on('message', (data: Buffer) => {
    const told = JSON.parse(data.toString()) as { lines: Line[]; here: string[] };
    for (const name of told.here) here.add(name);
    for (const line of told.lines) if (line.n > (lines.at(-1)?.n ?? 0)) lines.push(line);
  });
  await once(socket, 'open');
  return { socket, lines, here };
}

test('two users in a room see what each of them says, once and in one order', async () => {
  const ana = await enter('lobby', 'ana');
  const bo = await enter('lobby', 'bo');
  await eventually('both are there', () => bo.here.has('bo') && bo.here.has('ana'));
  for (let i = 0; i < 5; i++) {
    ana.socket.send(`ana ${i}`);
    bo.socket.send(`<b>bo</b> ${i}`);
  }
  await eventually('both see all', () => ana.lines.length === 10 && bo.lines.length === 10);
  expect(ana.lines).toEqual(bo.lines);
  expect(ana.lines.filter(({ by }) => by === 'ana').map(({ text }) => text)).toEqual(
    [0, 1, 2, 3, 4].map((i) => `ana ${i}`),
  );
  expect(await longwatch.tracker(users).member('ana').request({ report: true })).toMatchObject({ count: 10, wrong: 0 });
  const late = await enter('lobby', 'cy');
  await eventually('who comes later sees what was said', () => late.lines.length === 10);
  for (const { socket } of [ana, bo, late]) socket.close();
  await eventually('nobody is left', async () => {
    const { here } = await longwatch.tracker(rooms).member('lobby').request({ since: 0 });
    return here.length === 0;
  });
});

test.each([
  ['/rooms/lobby?user=', {}],
  ['/rooms/a%0Ab?user=ana', {}],
  ['/rooms/%zz?user=ana', {}],
  ['/other?user=ana', {}],
  ['/rooms/lobby?user=ana', { origin: 'http://elsewhere.example' }],
])('%s %j is refused', async (path, options) => {
  const socket = new WebSocket(address.replace('http', 'ws') + path, options);
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toContain('400');
});

test('one who has the room open twice is there until both are closed', async () => {
  const [first, second] = [await enter('twice', 'ana'), await enter('twice', 'ana')];
  const watcher = await enter('twice', 'bo');
  await eventually('all are there', () => watcher.here.has('ana'));
  const room = longwatch.tracker(rooms).member('twice');
  const here = async () => (await room.request({ since: 0 })).here;
  first.socket.close();
  await once(first.socket, 'close');
  watcher.socket.send('one of them has gone');
  await eventually('it was said', () => watcher.lines.length === 1);
  expect(await here()).toContain('ana');
  second.socket.close();
  await eventually('she has gone', async () => !(await here()).includes('ana'));
  watcher.socket.close();
});

test('an address that nobody can read is refused, and the front goes on', async () => {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.write('GET // HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /);
  socket.resetAndDestroy();
  expect((await fetch(address)).status).toBe(200);
});

test('the page is there', async () => {
  const page = await fetch(address);
  expect(page.headers.get('content-type')).toContain('text/html');
  expect(await page.text()).toContain('<form id="say"');
});

test('numbered words of two programs: as many as were accepted are handled, each in its order', async () => {
  await fill(longwatch, 20);
  const programs = [await stack.connect(), await stack.connect()];
  const speakers = programs.map((program, at) => new Speaker(`s${at}`, program, 20, drawing(at)));
  const spoken = speakers.map((speaker) => speaker.speak(100));
  await eventually('some words are accepted', () => speakers.every(({ sent }) => sent > 50));
  for (const speaker of speakers) speaker.stop();
  await Promise.all(spoken);
  const sent = speakers.reduce((sum, speaker) => sum + speaker.sent, 0);
  const handled = await eventually('all are handled', async () => {
    const count = await countHandled(longwatch, 20);
    return count.lines === sent && count;
  });
  expect(handled).toMatchObject({ words: sent, lines: sent, wrong: 0 });
  expect(speakers.flatMap(({ failures }) => failures)).toEqual([]);
});
