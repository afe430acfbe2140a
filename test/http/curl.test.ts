/**
 * The `curl` examples of the README and of docs/dashboard.md, as they stand there, against a dashboard on real servers:
 * each is carried out by a shell, and answered with success.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { ConfigDefinition } from '../../config/define/config';
import { defineBuffer } from '../../config/define/buffer';
import { resolveConfig } from '../../config/resolve/config';
import { serveDashboard, type Served } from '../../http/serve';
import { hashId } from '../../workflows/lib/hash';
import type { Json } from '../../workflows/lib/json';
import { slotOf } from '../../workflows/tracker/slots';
import { eventually, Stack } from '../support/stack';
import { Desk } from './desk';

const THERE = 'http://127.0.0.1:8765';
const run = promisify(execFile);
const operations = (name: string) => ({ [name]: { every: '1s', run: async () => ({ value: 1 }) } });
const CONFIG: ConfigDefinition = {
  trackers: [
    { name: 'stations', operations: operations('weather') },
    { name: 'characters', operations: operations('location') },
    { name: 'rooms', operations: operations('look') },
  ],
  buffers: [defineBuffer<Json>({ name: 'mail', run: async () => undefined })],
};

/** The commands of the blocks of a page that have one of `curl`, each with the variables that were set before it. */
function examplesOf(page: string): { page: string; command: string; set: string }[] {
  const text = readFileSync(path.join(__dirname, '../..', page), 'utf8');
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => {
    const lines = block!.replace(/\\\n/g, ' ').split('\n');
    const set = lines.filter((line) => /^[A-Z]+=/.test(line)).join('; ');
    return lines
      .filter((line) => line.startsWith('curl '))
      .map((line) => ({ page, command: line.replace(/ +# .*$/, ''), set }));
  });
}

const EXAMPLES = ['README.md', 'docs/dashboard.md'].flatMap(examplesOf);

let stack: Stack;
let served: Served;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(CONFIG);
  const longwatch = await stack.connect();
  const { trackers, buffers } = resolveConfig(CONFIG);
  for (const { name, options } of trackers) await longwatch.tracker(name).start(options);
  for (const { name, options } of buffers) await longwatch.buffer(name).start(options);
  await longwatch.tracker('stations').add(['KSEA'], { wait: true });
  await longwatch.tracker('characters').add(['90000001', '90000002'], { wait: true });
  await stack.sql(
    `insert into longwatch.life (tracker, id, slot, version, state) values ('rooms', 'lobby', $1, 1, '{}')`,
    [slotOf(hashId('lobby'))],
  );
  await eventually('a value', async () => (await longwatch.tracker('stations').show('KSEA')).values.length === 1);
  served = await serveDashboard(Desk.dashboard(stack, { open: true, actor: 'reader' }), { host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await served?.stop();
  await stack?.close();
});

test('both pages have some', () => {
  for (const page of ['README.md', 'docs/dashboard.md'])
    expect(EXAMPLES.filter((example) => example.page === page).length).toBeGreaterThan(2);
});

test.each(EXAMPLES)('$page: $command', async ({ command, set }) => {
  const isStream = command.includes('/stream');
  // A stream goes on: it is left after a moment.
  const flags = `-sS -w '\\n%{http_code}' --max-time ${isStream ? 10 : 60}`;
  const script = `${set}\n${command.replace(/^curl /, `curl ${flags} `)}${isStream ? ' || true' : ''}`;
  const { stdout } = await run('bash', ['-c', script.replaceAll(THERE, served.url.replace(/\/$/, ''))]);
  const [, body, status] = /^([\s\S]*)\n(\d{3})$/.exec(stdout.trimEnd())!;
  expect({ body, status }).toMatchObject({ status: '200' });
  if (isStream) expect(body).toContain('event: snapshot\ndata: {');
  else expect(JSON.parse(body!)).toEqual(expect.any(Object));
});
