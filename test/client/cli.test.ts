/** The command line through its process, as far as it needs no server: wrong use, bad files, servers that are away. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

let folder: string;
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'longwatch-cli-'))));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

const BIN = path.join(__dirname, 'bin.ts');
/** Ports on which nothing listens. */
const AWAY = ['--address', '127.0.0.1:1', '--database', 'postgres://u:secret@127.0.0.1:1/none'];

async function longwatch(args: string[], input?: string | Buffer, more: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), BIN, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, ...more },
  });
  const ended: Ended = { status: null, stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (ended.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (ended.stderr += data.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  ended.status = await new Promise((resolve) => child.once('close', resolve));
  expect(ended.stderr).not.toMatch(/^\s+at /m);
  expect(ended.stderr + ended.stdout).not.toContain('secret');
  return ended;
}

function file(name: string, content: string | Buffer): string {
  writeFileSync(path.join(folder, name), content);
  return name;
}

const CONFIG = `export default { trackers: [{ name: 'things', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }] };`;

test('help lists every verb, and each verb has examples', async () => {
  const { status, stdout } = await longwatch(['--help']);
  expect(status).toBe(0);
  const verbs = ['dev', 'worker', 'migrate', 'start', 'stop', 'pause', 'resume', 'add', 'remove', 'list', 'pools'];
  for (const verb of [...verbs, 'status', 'show', 'config', 'reconcile', 'crash']) {
    expect(stdout).toMatch(new RegExp(`^ {2}${verb} `, 'm'));
  }
  const add = await longwatch(['add', '--help']);
  expect([add.status, add.stdout]).toEqual([0, expect.stringContaining('npx longwatch add characters --file ids.txt')]);
});

test('the version is that of the package', async () => {
  const { version } = jest.requireActual<{ version: string }>('../../package.json');
  expect(await longwatch(['--version'])).toMatchObject({ status: 0, stdout: `${version}\n` });
});

test('no verb sets the exit status by itself, which main sets by what it threw', () => {
  const verbs = path.join(__dirname, '../../cli/verbs');
  const setting = readdirSync(verbs).filter((name) =>
    readFileSync(path.join(verbs, name), 'utf8').includes('exitCode'),
  );
  expect(setting).toEqual([]);
});

test('whoever closes its stderr does not end it', async () => {
  const child = spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), BIN, 'add', 'things'], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.destroy();
  const ended = await new Promise((resolve) => child.once('close', (status, signal) => resolve({ status, signal })));
  expect(ended).toEqual({ status: 2, signal: null });
});

describe('wrong use ends with 2 and says what to do', () => {
  test.each<[what: string, args: string[], message: RegExp]>([
    ['no verb', [], /Usage: longwatch/],
    ['an unknown verb', ['stauts'], /unknown command 'stauts'\n\(Did you mean status\?\)/],
    ['an unknown flag', ['status', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    [
      'an id that looks like a flag',
      ['show', 'chats', '-1001234'],
      /unknown option '-1001234'\n.*\n.* goes behind --: /,
    ],
    ['a missing name', ['pause'], /missing required argument 'name'/],
    ['too many arguments', ['pause', 'a', 'b'], /too many arguments/],
    ['a pool that is no number', ['crash', 'things', '--pool', 'x'], /--pool.*It must be a whole number/],
    [
      'a number that no one can hold',
      ['list', 'things', '--pool', '9'.repeat(20)],
      /--pool.*It must be a whole number/,
    ],
    ['a list of buckets without a line', ['budget', 'list', '--most', '0'], /--most.*a whole number from 1 on/],
    [
      'a closing for so many of what',
      ['budget', 'close', 'esi/errors', '--for', '30', ...AWAY],
      /--for must be a time with its unit, .*, not '30'/,
    ],
    ['a list without a line', ['dead', 'list', 'things', '--limit', '0'], /--limit.*a whole number from 1 on/],
    [
      'a wait that no timer takes',
      ['send', 'a', 'b', '1', '--timeout', '3000000'],
      /--timeout.*a day \(86400\) at most/,
    ],
    ['a crash without a pool', ['crash', 'things'], /required option '--pool <n>'/],
    ['a log level that does not exist', ['worker', '--log', 'loud'], /Allowed choices are trace, debug/],
    ['no ids', ['add', 'things'], /name at least one id, or give --file/],
    [
      'a file that is not there',
      ['add', 'things', '--file', 'nope.txt'],
      /there is no file nope\.txt; nothing was done/,
    ],
    ['a folder as a file', ['add', 'things', '--file', '.'], /\. is a folder/],
    ['a change that is none', ['config', 'things', '--set', 'every'], /'every' is not a change: write PATH=VALUE/],
    ['no config module', ['worker'], /there is no longwatch\.config\.ts/],
    ['a config file that is not there', ['dev', '--config', 'mine.ts'], /there is no config file mine\.ts/],
    ['an empty id', ['add', 'things', 'a', '', ...AWAY], /^id 2: the id is empty; nothing was sent/],
    ['an id with a control character', ['add', 'things', 'a\tb', ...AWAY], /^id 1: .*U\+0009.*nothing was sent/],
    ['an over-long id', ['remove', 'things', 'x'.repeat(201), ...AWAY], /^id 1: the id has 201 characters/],
    ['a database of another kind', ['status', '--database', 'mysql://u:secret@h/d'], /must look like postgres:/],
  ])('%s', async (_what, args, message) => {
    const { status, stdout, stderr } = await longwatch(args);
    expect(stderr).toMatch(message);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  test.each<[what: string, content: string | Buffer, message: RegExp]>([
    ['binary', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2]), /list is a binary file/],
    ['not UTF-8', Buffer.from([0x61, 0xff, 0xfe, 0x0a]), /list is not UTF-8 text/],
    ['empty', '', /list has no ids; nothing was done/],
    ['all blank', '\n  \n\r\n', /list has no ids; nothing was done/],
    ['one line without end', 'x'.repeat(200_000), /list has a line of more than 100000 characters/],
    [
      'wrong at its third line',
      'a\n\nb\u0001\nc\n',
      /list, line 3: the id has a control character \(U\+0001\).*nothing was sent/,
    ],
    ['over-long at its second line', `a\r\n${'x'.repeat(201)}\r\n`, /list, line 2: the id has 201 characters/],
  ])('a list that is %s', async (_what, content, message) => {
    const { status, stderr } = await longwatch(['add', 'things', '--file', file('list', content), ...AWAY]);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  test('a list from standard input has its lines named too', async () => {
    const { status, stderr } = await longwatch(['reconcile', 'things', '--file', '-', ...AWAY], 'a\nb\u0007\n');
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^standard input, line 2: /)]);
  });

  test('a tracker that the config does not have', async () => {
    const config = file('c.ts', CONFIG);
    const { status, stderr } = await longwatch(['start', 'thing', '--config', config, ...AWAY]);
    expect([status, stderr]).toEqual([2, "the config has no tracker, buffer or job 'thing'; did you mean 'things'?\n"]);
  });

  test('a config with mistakes, all of them at once', async () => {
    const config = file('bad.ts', CONFIG.replace("every: '1s'", "evry: '1s'"));
    const { status, stderr } = await longwatch(['start', 'things', '--config', config, ...AWAY]);
    expect(status).toBe(2);
    expect(stderr).toContain("operations.look.evry is not an option; did you mean 'every'?");
    expect(stderr).toContain('operations.look.every is required');
  });
});

describe('no server ends with 1 and says how to get one', () => {
  test('nothing says where the database is', async () => {
    const { status, stderr } = await longwatch(['status']);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/npx longwatch dev.*DATABASE_URL.*--database URL/)]);
  });

  test.each([
    'status',
    'pools things',
    'list things',
    'show things a',
    'config things',
    'add things a',
    'crash things --pool 0',
    'flush things',
  ])('a database that is away: %s', async (line) => {
    const { status, stdout, stderr } = await longwatch([...line.split(' '), ...AWAY]);
    expect(stderr).toMatch(
      /^the database at postgres:\/\/u:\*\*\*@127\.0\.0\.1:1\/none cannot be used: .*ECONNREFUSED/,
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  test('migrate without a database', async () => {
    const { status, stderr } = await longwatch(['migrate', ...AWAY]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/the database cannot be used: .*ECONNREFUSED/)]);
  });

  test('what ends in the middle, with nothing left to wait for, is no success', async () => {
    // pg takes this port for a number and then waits for a connection that it never began.
    const { status, stdout, stderr } = await longwatch(['status'], '', {
      DATABASE_URL: 'postgres://u@127.0.0.1/none',
      PGPORT: 'none',
    });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).not.toBe('');
  });

  test('dev keeps its files in .longwatch where LONGWATCH_DIR is set to nothing', async () => {
    const config = file('d.ts', CONFIG);
    const env = {
      LONGWATCH_DIR: '',
      TEMPORAL_ADDRESS: '127.0.0.1:1',
      DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/none',
    };
    expect((await longwatch(['dev', '--config', config], '', env)).status).toBe(1);
    // In the project's folder it would keep the whole project from git.
    expect(existsSync(path.join(folder, '.gitignore'))).toBe(false);
    expect(existsSync(path.join(folder, '.longwatch', '.gitignore'))).toBe(true);
  });

  test('a worker without servers', async () => {
    const config = file('c.ts', CONFIG);
    const { status, stderr } = await longwatch(['worker', '--config', config, '--log', 'silent', ...AWAY]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/Temporal does not answer/)]);
  });
});
