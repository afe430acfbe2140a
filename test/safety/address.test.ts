/**
 * The database's address: no part of a password is shown, whatever characters it has, and TLS modes mean what
 * PostgreSQL says.
 */
import { Client } from 'pg';
import { connectionString, problemOf, readAddress, showAddress, tlsProblem } from '../../config/address';
import { explain } from '../../cli/errors';
import { pino } from 'pino';
import { checkAddress, requireDatabase, resolveEnvironment } from '../../config/environment';
import { defineTracker, resolveConfig } from '../../exports';
import { migrate } from '../../workers/migrate';
import { partsOf } from '../../workers/parts';
import fc from 'fast-check';

const PASSWORDS = [
  'p@zq#w0kj',
  'p/zq',
  'p?zq',
  'p%zq',
  'p@zq/w#kj1',
  'p#zq',
  'a@b@c',
  'p zq',
  'p\\zq',
  'p%zzzq',
  'p%C3zq',
  '@',
  '12@34:56',
];

test.each(PASSWORDS)('a password %s that is not encoded is refused in one line without it', (password) => {
  const url = `postgres://game:${password}@127.0.0.1:5432/lw`;
  const act = () => checkAddress(url);
  expect(act).toThrow(/^the database address has a character in its password that must be written as %40/);
  for (const part of password.split(/[@#/?%\s\\]/).filter((one) => one.length > 1)) {
    expect(act).not.toThrow(new RegExp(`\\b${part}`));
    expect(showAddress(url)).not.toContain(part);
  }
});

const NOT_ENCODED = 'postgres://game:p@zq@127.0.0.1:1/lw';
test.each<[string, () => unknown]>([
  ['a migration', () => migrate(NOT_ENCODED, pino({ level: 'silent' }))],
  [
    'a worker',
    () =>
      partsOf({
        config: resolveConfig({
          trackers: [defineTracker({ name: 't', operations: { look: { every: '1m', run: () => ({ value: 1 }) } } })],
        }),
        temporal: { address: '127.0.0.1:1', namespace: 'default' },
        databaseUrl: NOT_ENCODED,
        log: pino({ level: 'silent' }),
      }),
  ],
  ['an environment', () => requireDatabase(resolveEnvironment({ databaseUrl: NOT_ENCODED }, { env: {} }))],
])('%s refuses it before anything is opened', async (_what, use) => {
  await expect((async () => use())()).rejects.toThrow(/must be written as %40/);
});

test.each(['?password=p@zq', '?password=p#zq', '#x', '?application_name=a@b'])('%s is refused as well', (rest) => {
  expect(problemOf(`postgres://game@127.0.0.1/lw${rest}`)).toMatch(/must be written as %40/);
});

test('encoded, every password can be used, none is shown, and pg reads it as it was', () => {
  const property = (password: string, user: string) => {
    const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@db.example:5432/lw?sslmode=require`;
    expect(problemOf(url)).toBeUndefined();
    expect(showAddress(url)).toBe(`postgres://${user}:***@db.example:5432/lw`);
    const client = new Client({ connectionString: connectionString(url) }) as Client & { password: string };
    expect([client.password, client.user, client.host]).toEqual([password, user, 'db.example']);
  };
  // Letters that stand nowhere in the rest of the address.
  const text = fc.string({ unit: fc.constantFrom(...'XYZ@#/?%& :\\+=é'), minLength: 1 });
  fc.assert(fc.property(text, fc.string({ unit: fc.constantFrom(...'abc_'), minLength: 1 }), property));
});

test.each<[url: string, shown: string]>([
  ['postgres://user:secret@host:5432/name', 'postgres://user:***@host:5432/name'],
  ['postgresql://host/name?password=secret&sslmode=require&user=u', 'postgres://u:***@host/name'],
  ['postgres:///name?host=/var/run/postgresql', 'postgres:///var/run/postgresql/name'],
  ['postgres://u:secret@[::1]:5432/name', 'postgres://u:***@[::1]:5432/name'],
  ['postgres://u:secret@/name?host=/cloudsql/project:region:one', 'postgres://u:***@/cloudsql/project:region:one/name'],
  ['postgres://u:secret@/name', 'postgres://u:***@/name'],
  ['postgres://u:secret@host/name?port=secret', 'an address that cannot be read'],
  ['secret that is no address', 'an address that cannot be read'],
  ['postgres://game:secret', 'an address that cannot be read'],
])('%s is shown as %s', (url, shown) => {
  expect(showAddress(url)).toBe(shown);
});

test.each([
  ['disable', false],
  ['require', { rejectUnauthorized: false }],
  ['verify-full', {}],
  ['no-verify', { rejectUnauthorized: false }],
])('sslmode=%s means what PostgreSQL says of it, without a warning', (mode, ssl) => {
  const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const client = new Client({ connectionString: connectionString(`postgres://u@h/d?sslmode=${mode}`) });
  expect((client as unknown as { ssl: unknown }).ssl).toEqual(ssl);
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
});

test('modes that pg cannot do are refused by name', () => {
  expect(problemOf('postgres://u@h/d?sslmode=prefer')).toMatch(/sslmode that is none of disable, no-verify, require/);
  expect(problemOf('postgres://u@h/d?sslmode=verify-ca')).toMatch(/needs sslrootcert=FILE/);
  expect(readAddress('postgres://u@h/d?sslmode=prefer')).toBeUndefined();
});

test('what is wrong with TLS is one line that says what to do', () => {
  const cause = new Error('The server does not support SSL connections');
  expect(tlsProblem(new Error('outer', { cause }))).toMatch(/write sslmode=disable/);
  const untrusted = Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  expect(explain(untrusted)).toMatchObject({
    status: 1,
    unexpected: false,
    message: expect.stringMatching(/sslrootcert=FILE/) as string,
  });
  expect(tlsProblem(new Error('something else'))).toBeUndefined();
});

test('a password that is left out comes from PGPASSWORD', () => {
  process.env.PGPASSWORD = 'p@ss#w0rd';
  try {
    const client = new Client({ connectionString: connectionString('postgres://u@h/d?sslmode=require') });
    expect((client as Client & { password: string }).password).toBe('p@ss#w0rd');
  } finally {
    delete process.env.PGPASSWORD;
  }
});
