/** The servers' addresses come from flags, environment, the development stack that runs here, in that order. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DEFAULT_ADDRESS, requireDatabase, resolveEnvironment } from '../../config/environment';
import { EnvironmentError } from '../../config/errors';
import { markOf } from '../../config/dev/processes';
import { writeDevState, type DevState } from '../../config/dev/state';

let project: string;
let inside: string;

beforeEach(() => {
  project = mkdtempSync(path.join(tmpdir(), 'longwatch-environment-'));
  inside = path.join(project, 'a', 'b');
  mkdirSync(inside, { recursive: true });
});
afterEach(() => rmSync(project, { recursive: true }));

/** No profile file of the machine that the tests run on. */
const NOTHING = { HOME: '/nonexistent', XDG_CONFIG_HOME: '/nonexistent' };

/** A stack that runs, as far as its files say: this process is its supervisor. */
function runDev(state: Partial<DevState> = {}): void {
  const mark = markOf(process.pid)!;
  mkdirSync(path.join(project, '.longwatch'));
  writeDevState(path.join(project, '.longwatch'), {
    version: 1,
    owner: mark,
    supervisor: mark,
    servers: {},
    ports: {},
    temporalAddress: '127.0.0.1:7777',
    namespace: 'default',
    databaseUrl: 'postgres://dev@127.0.0.1:5555/longwatch',
    ...state,
  });
}

test('nothing given and nothing running: the usual address, and no database', () => {
  const found = resolveEnvironment({}, { cwd: inside, env: NOTHING });
  expect(found.temporal).toMatchObject({ address: DEFAULT_ADDRESS, namespace: 'default' });
  expect(found.databaseUrl).toBeUndefined();
  expect(() => requireDatabase(found)).toThrow(/npx longwatch dev.*DATABASE_URL.*--database/);
});

test('the stack that runs in a folder above is found', () => {
  runDev();
  const found = resolveEnvironment({}, { cwd: inside, env: NOTHING });
  expect(found.temporal.address).toBe('127.0.0.1:7777');
  expect(requireDatabase(found)).toBe('postgres://dev@127.0.0.1:5555/longwatch');
});

test('a stack whose processes have ended is not', () => {
  runDev({ supervisor: { ...markOf(process.pid)!, pid: 2 ** 22 + 1 } });
  expect(resolveEnvironment({}, { cwd: inside, env: NOTHING }).databaseUrl).toBeUndefined();
});

test('the environment counts before the stack, whose database does not go with another Temporal', () => {
  runDev();
  const found = resolveEnvironment({}, { cwd: inside, env: { ...NOTHING, TEMPORAL_ADDRESS: 'temporal:7233' } });
  expect(found.temporal.address).toBe('temporal:7233');
  expect(found.databaseUrl).toBeUndefined();
});

test('flags count before the environment', () => {
  const env = { ...NOTHING, TEMPORAL_ADDRESS: 'a:1', TEMPORAL_NAMESPACE: 'one', DATABASE_URL: 'postgres://a/a' };
  const flags = { address: 'b:2', namespace: 'two', databaseUrl: 'postgres://b/b' };
  expect(resolveEnvironment({}, { cwd: inside, env })).toMatchObject({
    temporal: { address: 'a:1', namespace: 'one' },
    databaseUrl: 'postgres://a/a',
  });
  expect(resolveEnvironment(flags, { cwd: inside, env })).toMatchObject({
    temporal: { address: 'b:2', namespace: 'two' },
    databaseUrl: 'postgres://b/b',
  });
});

describe('the database at several addresses', () => {
  const env = {
    ...NOTHING,
    DATABASE_URL: 'postgres://pooler/a',
    READ_DATABASE_URL: 'postgres://replica/a',
    DIRECT_DATABASE_URL: 'postgres://server/a',
  };

  test('the environment gives one each for writing, looking and listening', () => {
    expect(resolveEnvironment({}, { cwd: inside, env })).toMatchObject({
      databaseUrl: 'postgres://pooler/a',
      readDatabaseUrl: 'postgres://replica/a',
      directDatabaseUrl: 'postgres://server/a',
    });
  });

  test('another database by flag leaves the environment out: its replica would show the wrong one', () => {
    const found = resolveEnvironment({ databaseUrl: 'postgres://other/b' }, { cwd: inside, env });
    expect(found.databaseUrl).toBe('postgres://other/b');
    expect([found.readDatabaseUrl, found.directDatabaseUrl]).toEqual([undefined, undefined]);
  });

  test('so does the stack that runs here, where no DATABASE_URL says otherwise', () => {
    runDev();
    const found = resolveEnvironment({}, { cwd: inside, env: { ...env, DATABASE_URL: '' } });
    expect(found.databaseUrl).toBe('postgres://dev@127.0.0.1:5555/longwatch');
    expect([found.readDatabaseUrl, found.directDatabaseUrl]).toEqual([undefined, undefined]);
  });

  test('a program gives its own', () => {
    const flags = {
      databaseUrl: 'postgres://a/a',
      readDatabaseUrl: 'postgres://b/a',
      directDatabaseUrl: 'postgres://c/a',
    };
    expect(resolveEnvironment(flags, { cwd: inside, env })).toMatchObject(flags);
  });

  test.each(['READ_DATABASE_URL', 'DIRECT_DATABASE_URL'])(
    '%s that is none of PostgreSQL is refused by its name',
    (name) => {
      const found = resolveEnvironment({}, { cwd: inside, env: { ...env, [name]: 'mysql://u:secret@h/d' } });
      expect(() => requireDatabase(found)).toThrow(new RegExp(`^${name} must look like postgres:`));
    },
  );
});

test('a key of the environment turns TLS on', () => {
  const env = { ...NOTHING, TEMPORAL_ADDRESS: 'cloud:7233', TEMPORAL_API_KEY: 'k' };
  expect(resolveEnvironment({}, { cwd: inside, env }).temporal).toMatchObject({ apiKey: 'k', tls: true });
});

test('a profile file that cannot be read is said to be one', () => {
  const env = { ...NOTHING, TEMPORAL_CONFIG_FILE: path.join(project, 'none.toml'), TEMPORAL_PROFILE: 'none' };
  expect(() => resolveEnvironment({}, { cwd: inside, env })).toThrow(EnvironmentError);
});

test('an address that is none of PostgreSQL is refused', () => {
  const found = resolveEnvironment({ databaseUrl: 'mysql://u:secret@h/d' }, { cwd: inside, env: NOTHING });
  expect(() => requireDatabase(found)).toThrow(/must look like postgres:/);
});

test.each(['http://u:secret@temporal:7233', 'u:secret@temporal:7233'])('%s is no address of Temporal', (address) => {
  const act = () => resolveEnvironment({ address }, { cwd: inside, env: NOTHING });
  expect(act).toThrow(/must look like host:7233/);
  expect(act).not.toThrow(/secret/);
});

test('a profile file that is not TOML is refused without its lines', () => {
  const file = path.join(project, 'temporal.toml');
  writeFileSync(file, '[profile.default]\naddress = "a:1"\napi_key = "secret" oops\n');
  const act = () => resolveEnvironment({}, { cwd: inside, env: { ...NOTHING, TEMPORAL_CONFIG_FILE: file } });
  expect(act).toThrow(/cannot be read: Invalid TOML.*line 3/);
  expect(act).not.toThrow(/secret/);
});
