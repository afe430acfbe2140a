/** Everything that is shown: errors in the log, data on a terminal, a connection that is printed. */
import assert from 'node:assert';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { inspect, promisify } from 'node:util';
import { pino } from 'pino';
import { ourLog, serializers, shownError } from '../../activities/lib/log';
import { connect } from '../../exports';
import { explain } from '../../cli/errors';
import { print, printId, printJson, printJsonPart, remark, table } from '../../cli/output';
import { inline, plain, plainLogLine } from '../../cli/plain';
import { main } from '../../cli/main';
import type { Environment } from '../../config/environment';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';

let stack: Stack;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());

describe('errors in the log', () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const last = () => JSON.parse(lines.at(-1)!) as { err: Record<string, unknown> };

  async function refused(): Promise<unknown> {
    await stack.sql(
      'create table if not exists player (id int primary key, mail text not null, age int check (age < 10))',
    );
    return stack.sql(`insert into player values (5, 'p5@example.com', 50)`).catch((error: unknown) => error);
  }

  test('a PostgreSQL error is its code, message, constraint and table: never a row', async () => {
    ourLog(log).warn({ err: await refused() }, 'a row failed');
    expect(last().err).toMatchObject({ code: '23514', constraint: 'player_age_check', table: 'player' });
    expect(last().err).not.toHaveProperty('detail');
    expect(lines.at(-1)).not.toContain('p5@example.com');
  });

  test('neither as a cause, in an aggregate, under the name that the SDK uses, nor in a child of the logger', async () => {
    const error = (await refused()) as Error;
    const wrapped = new Error('outer', { cause: new AggregateError([error], 'many') });
    const ours = ourLog(log).child({ tracker: 't' });
    ours.warn({ err: wrapped }, 'x');
    expect(last().err).toMatchObject({ cause: { errors: [{ code: '23514' }] } });
    ours.warn({ error, sdk: true }, 'x');
    ours.child({ pool: 1 }).warn({ err: wrapped }, 'x');
    expect(lines.join('')).not.toContain('p5@example.com');
  });

  test('what hangs on an error of another library does not come along', () => {
    const error = Object.assign(new Error('answered 403'), {
      status: 403,
      config: { headers: { authorization: 'secret' } },
    });
    expect(shownError(error)).toMatchObject({ message: 'answered 403', status: 403 });
    expect(JSON.stringify(shownError(error))).not.toContain('secret');
  });

  test('an error whose properties throw is logged as that, and ends nothing', () => {
    const hostile = new Error('x');
    Object.defineProperty(hostile, 'message', { get: () => assert.fail('own') });
    const revoked = Proxy.revocable(new Error('y'), {});
    revoked.revoke();
    for (const err of [
      hostile,
      revoked.proxy,
      Object.assign(new Error('z'), { name: Object.create(null) as string }),
    ]) {
      expect(() => ourLog(log).warn({ err }, 'it failed')).not.toThrow();
      expect(JSON.parse(lines.at(-1)!)).toMatchObject({ msg: 'it failed' });
    }
  });

  test.each([undefined, null, 'text', 0])('%p that was thrown is explained', (thrown) => {
    expect(explain(thrown)).toMatchObject({ status: 1, message: expect.stringContaining(String(thrown)) as string });
  });

  /** A PostgreSQL error as pg throws it, with a row in it. */
  const withRow = () => Object.assign(new Error('it failed'), { code: '23514', detail: 'p5@example.com', file: 'x.c' });

  test('nor in the log of a worker, in what users’ code writes to it', async () => {
    const seen: string[] = [];
    const given = pino({ level: 'warn' }, { write: (line: string) => void seen.push(line) });
    const config: ConfigDefinition = {
      trackers: [
        {
          name: 'telling',
          operations: {
            look: {
              every: '200ms',
              run: (context) => {
                context.log.warn({ err: withRow() }, 'of a run');
                return { value: 1 };
              },
            },
          },
        },
      ],
    };
    const worker = await stack.worker(config, { log: given });
    const longwatch = await stack.connect();
    await longwatch.tracker('telling').start(resolveConfig(config).trackers[0]!.options);
    await longwatch.tracker('telling').add(['a']);
    const line = await eventually('its line', () => seen.find((one) => one.includes('of a run')));
    expect(JSON.parse(line)).toMatchObject({ err: { code: '23514', message: 'it failed' } });
    expect(seen.join('')).not.toContain('p5@example.com');
    await worker.shutdown();
  });

  test('nor in that of a connection', async () => {
    const seen: string[] = [];
    const given = pino({ level: 'debug' }, { write: (line: string) => void seen.push(line) });
    const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
    const url = new URL(databaseUrl);
    const longwatch = await connect({
      environment: { temporal: { address, namespace }, databaseUrl: url.toString() },
      log: given,
    });
    try {
      await longwatch.status();
      // Connections that are idle by now are lost.
      await stack.sql(`select pg_terminate_backend(pid) from pg_stat_activity
                       where application_name = 'longwatch' and state = 'idle' and pid <> pg_backend_pid()`);
      const line = await eventually('its line', () => seen.find((one) => one.includes('connection was lost')));
      expect(JSON.parse(line)).toMatchObject({ err: { code: '57P01', severity: 'FATAL' } });
      expect(line).not.toContain('"file"');
    } finally {
      await longwatch.close();
    }
  });

  test.each([
    ['a file', ''],
    ['a terminal', 'process.stderr.isTTY = true;'],
  ])('nor in that of the command line to %s, where nothing is obeyed either', async (_what, pretend) => {
    const script = `${pretend}
      const err = Object.assign(new Error('failed \\u202e \\u001b]0;title\\u0007'), { code: '23514', detail: 'p5@example.com' });
      require('./cli/output').logger('warn').warn({ err, key: '\\u009b31m' }, 'of a verb \\u001b[2J');`;
    const { stderr } = await promisify(execFile)(
      process.execPath,
      ['--require', require.resolve('tsx/cjs'), '--eval', script],
      { cwd: path.join(__dirname, '../..'), env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined } },
    );
    expect(stderr).toMatch(/of a verb/);
    expect(stderr).toMatch(/23514/);
    expect(stderr).not.toContain('p5@example.com');
    // eslint-disable-next-line no-control-regex -- those must not be there
    expect(stderr).not.toMatch(/[\u001b\u0007\u009b\u202e]/);
  });

  test('an error whose cause is itself ends, and what is no error is shown too', () => {
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    expect(shownError(error)).toMatchObject({ cause: { message: 'b', cause: undefined } });
    expect(shownError('text')).toMatchObject({ message: 'text' });
    expect(shownError(Object.create(null))).toMatchObject({ type: 'object' });
    expect(() => pino({ serializers }, { write: () => undefined }).warn({ err: error })).not.toThrow();
  });
});

describe('on a terminal', () => {
  const ESCAPES = '\u001b]0;title\u0007\u001b[2J\u009b31m\u202eexe\u2066\u0000\r';
  // eslint-disable-next-line no-control-regex -- those must not be there
  const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

  async function written(act: () => Promise<unknown> | void): Promise<string> {
    const out: string[] = [];
    const catching = (text: unknown) => {
      out.push(String(text));
      return true;
    };
    const spies = [process.stdout, process.stderr].map((to) => jest.spyOn(to, 'write').mockImplementation(catching));
    await act();
    spies.forEach((spy) => spy.mockRestore());
    return out.join('');
  }

  test('nothing that is printed has what a terminal obeys', async () => {
    expect(await written(() => print(`key: ${ESCAPES}`))).not.toMatch(OBEYED);
    expect(await written(() => remark(ESCAPES))).not.toMatch(OBEYED);
    expect(await written(() => main(['status', `--${ESCAPES}`]))).not.toMatch(OBEYED);
    expect(await written(() => main(['status', '--database', `postgres://${ESCAPES}`]))).not.toMatch(OBEYED);
    expect(await written(() => print(table([{ head: 'key' }], [[ESCAPES]])))).not.toMatch(OBEYED);
  });

  test('an id, on a terminal; JSON that is written as it is read', async () => {
    const before = process.stdout.isTTY;
    process.stdout.isTTY = true;
    try {
      expect(await written(() => printId(ESCAPES))).not.toMatch(OBEYED);
    } finally {
      process.stdout.isTTY = before;
    }
    const part = await written(() => printJsonPart(`[${JSON.stringify(ESCAPES)},`));
    expect(part).not.toMatch(OBEYED);
    expect(JSON.parse(`${part} 1]`)).toEqual([ESCAPES, 1]);
  });

  test('a cell is one line, whatever its data has', () => {
    expect(table([{ head: 'key' }], [['a\nforged   1 attempt'], ['b']]).split('\n')).toHaveLength(3);
    expect(inline('a\r\nb\tc\n')).toBe('a b c ');
  });

  test('JSON is the same value, with its marks escaped', async () => {
    const value = { key: ESCAPES, more: 'Größe 🙂' };
    const text = await written(() => printJson(value));
    expect(text).not.toMatch(OBEYED);
    expect(JSON.parse(text)).toEqual(value);
  });

  test('usual text stays as it is', () => {
    expect(plain('Größe 🙂 日本\n\tä')).toBe('Größe 🙂 日本\n\tä');
    expect(plain('half \ud83d')).toBe('half \ufffd');
  });

  test('a line of the log is safe for what makes it readable again', () => {
    const line = JSON.stringify({ msg: `${ESCAPES}a\nb \\u001b "q"` });
    const back = JSON.parse(plainLogLine(line)) as { msg: string };
    expect(back.msg).not.toMatch(OBEYED);
    expect(back.msg).toContain('a\nb \\u001b "q"');
  });
});

test('what a connection shows of its environment is refused as one to connect with', async () => {
  const longwatch = await stack.connect();
  const environment = longwatch.environment as unknown as Environment;
  await expect(connect({ environment })).rejects.toThrow(/leaves out its passwords: give the addresses themselves/);
});

test('list gives a pipe the very ids, and its JSON the same value: a list may be read back', async () => {
  const ids = ['a\u200fb', '\u202ec', '\ufeffd', 'plain'];
  await stack.sql(`insert into longwatch.tracker (name, options) values ('letters', '{}')`);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) select 'letters', unnest($1::text[]), 0, 1, 1`,
    [ids],
  );
  const json = (await runCli(stack, 'list', 'letters', '--json')).out;
  const { members } = JSON.parse(json) as { members: { id: string }[] };
  expect(members.map(({ id }) => id).sort()).toEqual([...ids].sort());
  expect(json).not.toMatch(/[\u200f\u202e\ufeff]/);
  const { out } = await runCli(stack, 'list', 'letters');
  expect(out.split('\n').filter(Boolean).sort()).toEqual([...ids].sort());
});

test('a connection that is printed shows no secret', async () => {
  const environment = {
    temporal: { address: stack.servers.temporalAddress, namespace: stack.servers.namespace, apiKey: 'secret-key' },
    databaseUrl: stack.servers.databaseUrl,
  };
  const longwatch = await connect({
    environment: { ...environment, temporal: { ...environment.temporal, apiKey: undefined } },
  });
  const secret = await connect({ environment });
  try {
    await longwatch.trackers();
    const password = new URL(stack.servers.databaseUrl).password;
    expect(password).not.toBe('');
    for (const shown of [
      longwatch,
      secret,
      longwatch.tracker('x'),
      longwatch.buffer('y'),
      longwatch.job('z'),
      longwatch.durable,
    ]) {
      const text = inspect(shown, { depth: null, showHidden: true, getters: true }) + JSON.stringify(shown);
      expect(text).not.toContain(password);
      expect(text).not.toContain('secret-key');
    }
    expect(longwatch.environment.databaseUrl).toMatch(/^postgres:\/\/longwatch:\*\*\*@127\.0\.0\.1:\d+\/\w+$/);
  } finally {
    await Promise.all([longwatch.close(), secret.close()]);
  }
});

test('a server without TLS is one line, exit status 1, without a stack', async () => {
  const url = `${stack.servers.databaseUrl}?sslmode=require`;
  const asked = { ...stack, servers: { ...stack.servers, databaseUrl: url } } as Stack;
  const { status, err } = await runCli(asked, 'status');
  expect([status, err.trim().split('\n')]).toEqual([1, [expect.stringMatching(/has no TLS.*sslmode=disable/)]]);
});
