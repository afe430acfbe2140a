/**
 * TLS to a PostgreSQL server with a certificate of an authority of its own: each sslmode does what docs/security.md
 * says.
 */
import { chmodSync, chownSync, copyFileSync, readFileSync, statSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { TLSSocket } from 'node:tls';
import { Client } from 'pg';
import { Authority, type Certificate } from '../support/certificates';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let ca: Authority;
let other: Authority;
const made: Record<string, Certificate> = {};

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  ca = new Authority(path.join(stack.dir, 'ca'));
  other = new Authority(path.join(stack.dir, 'other'));
  made.good = ca.sign('good', 'localhost');
  made.named = ca.sign('named', 'db.example');
  made.expired = ca.sign('expired', 'localhost', true);
  await stack.sql('alter system set ssl = on');
});
afterAll(() => stack.close());

/** The server has it from now on. */
async function serve({ cert, key }: Certificate): Promise<void> {
  const [row] = await stack.sql<{ data_directory: string }>('show data_directory');
  const folder = row!.data_directory;
  const { uid, gid } = statSync(folder);
  for (const [from, name] of [
    [cert, 'server.crt'],
    [key, 'server.key'],
  ] as const) {
    const file = path.join(folder, name);
    copyFileSync(from, file);
    // PostgreSQL takes no key that others may read.
    chmodSync(file, 0o600);
    chownSync(file, uid, gid);
  }
  await stack.sql('select pg_reload_conf()');
  const wanted = new X509Certificate(readFileSync(cert)).fingerprint256;
  await eventually('the server shows that certificate', async () => {
    const client = new Client({ connectionString: stack.servers.databaseUrl, ssl: { rejectUnauthorized: false } });
    await client.connect();
    const { stream } = (client as unknown as { connection: { stream: TLSSocket } }).connection;
    const { fingerprint256 } = stream.getPeerCertificate();
    await client.end();
    return fingerprint256 === wanted;
  });
}

function urlOf(query: string, host: string): string {
  const url = new URL(stack.servers.databaseUrl);
  url.hostname = host;
  return url.href + query.replace('CA', encodeURIComponent(ca.cert)).replace('OTHER', encodeURIComponent(other.cert));
}

async function run(verb: string[], query: string, host: string) {
  const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const servers = { ...stack.servers, databaseUrl: urlOf(query, host) };
  const result = await runCli({ servers }, ...verb);
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
  return result;
}

const WORKS = 'works';
const UNKNOWN = /the certificate of the server is not signed by an authority that is known here; .*sslrootcert=FILE/;
const NAME = /the certificate of the server is for another host name/;
const EXPIRED = /the certificate of the server has expired/;

test.each<[certificate: string, host: string, query: string, ends: typeof WORKS | RegExp]>([
  ['good', '127.0.0.1', '', WORKS],
  ['good', '127.0.0.1', '?sslmode=disable', WORKS],
  ['good', '127.0.0.1', '?sslmode=require', WORKS],
  ['good', '127.0.0.1', '?sslmode=no-verify', WORKS],
  ['good', '127.0.0.1', '?sslmode=require&sslrootcert=CA', WORKS],
  ['good', '127.0.0.1', '?sslmode=require&sslrootcert=OTHER', UNKNOWN],
  ['good', '127.0.0.1', '?sslmode=verify-ca&sslrootcert=CA', WORKS],
  ['good', '127.0.0.1', '?sslmode=verify-ca&sslrootcert=OTHER', UNKNOWN],
  ['good', 'localhost', '?sslmode=verify-full&sslrootcert=CA', WORKS],
  ['good', '127.0.0.1', '?sslmode=verify-full&sslrootcert=CA', NAME],
  ['good', 'localhost', '?sslmode=verify-full&sslrootcert=OTHER', UNKNOWN],
  ['good', 'localhost', '?sslmode=verify-full', UNKNOWN],
  [
    'good',
    'localhost',
    '?sslmode=verify-full&sslrootcert=%2Fnonexistent.crt',
    /its sslrootcert, sslcert or sslkey cannot be read/,
  ],
  ['named', 'localhost', '?sslmode=verify-ca&sslrootcert=CA', WORKS],
  ['named', 'localhost', '?sslmode=verify-full&sslrootcert=CA', NAME],
  ['expired', 'localhost', '?sslmode=require', WORKS],
  ['expired', 'localhost', '?sslmode=verify-ca&sslrootcert=CA', EXPIRED],
  ['expired', 'localhost', '?sslmode=verify-full&sslrootcert=CA', EXPIRED],
])('a server with a %s certificate, %s%s', async (certificate, host, query, ends) => {
  await serve(made[certificate]!);
  const { status, err } = await run(['status'], query, host);
  if (ends === WORKS) expect([status, err]).toEqual([0, '']);
  else expect([status, err.trim().split('\n')]).toEqual([1, [expect.stringMatching(ends)]]);
});

test('migrate, a worker and what listens go by it too, all encrypted', async () => {
  await serve(made.good!);
  expect(await run(['migrate'], '?sslmode=verify-full&sslrootcert=CA', 'localhost')).toMatchObject({ status: 0 });
  expect((await run(['migrate'], '?sslmode=verify-full&sslrootcert=OTHER', 'localhost')).err).toMatch(UNKNOWN);
  const config = {
    trackers: [{ name: 't', operations: { look: { every: '1s' as const, run: () => ({ value: 1 }) } } }],
  };
  const refused = stack.worker(config, { databaseUrl: urlOf('?sslmode=verify-full&sslrootcert=CA', '127.0.0.1') });
  await expect(refused).rejects.toThrow(/does not match certificate's altnames/);
  await stack.worker(config, {
    databaseUrl: urlOf('?sslmode=verify-full&sslrootcert=CA', 'localhost'),
    nodeName: 'tls',
  });
  const open = await stack.sql<{ application_name: string; ssl: boolean }>(
    `select application_name, ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name like 'longwatch%'`,
  );
  expect(open.map(({ application_name: name }) => name)).toContain('longwatch listener');
  expect(open.filter(({ ssl }) => !ssl)).toEqual([]);
});
