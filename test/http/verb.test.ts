/**
 * `longwatch dashboard` with what cannot be, and where it is not said who may: refused in words, with exit status 2,
 * before it listens. No server is asked.
 */
import { newToken } from '../../http/who';
import { runCli } from '../support/cli';

const NOWHERE = {
  servers: { temporalAddress: '127.0.0.1:1', databaseUrl: 'postgres://lw@127.0.0.1:1/longwatch' },
} as Parameters<typeof runCli>[0];
const { line } = newToken('ana', 'admin');

const refused = async (...flags: string[]): Promise<string> => {
  // The last thing that is looked at: what comes so far was taken.
  const { status, out, err } = await runCli(NOWHERE, 'dashboard', '--port', '0', ...flags, '--prefix', 'no path');
  expect([status, out]).toEqual([2, '']);
  return err;
};
const TAKEN = "'no path' is not a path";

test.each([
  ['an address elsewhere', ['--host', '0.0.0.0'], 'on 0.0.0.0 it needs to know who may'],
  ['a name by which a proxy is asked', ['--host-name', 'ops.example.com'], 'as ops.example.com it needs to know who'],
  ['one of two', ['--host-name', 'localhost', '--host-name', 'ops:81'], 'as ops:81 it needs to know who may'],
  ['no tokens in the setting', ['--host-name', 'ops.example.com', '--tokens', ''], 'it needs to know who may'],
])('who may must be said: %s', async (_, flags, words) => {
  expect(await refused(...flags)).toContain(words);
  expect(await refused(...flags, '--open')).toContain(TAKEN);
  expect(await refused(...flags.filter((flag) => !/^(--tokens)?$/.test(flag)), '--tokens', line)).toContain(TAKEN);
});

test('names of the loopback are asked for by who is on this machine', async () => {
  expect(await refused('--host-name', 'localhost:8765', '--host-name', '127.0.0.1')).toContain(TAKEN);
});

test.each(['a/b', 'https://ops.example.com', '', '*.example.com', 'bücher.example', '::1', 'ops.example.com:http'])(
  '%j is not a host',
  async (name) => {
    expect(await refused('--host-name', name)).toContain(`'${name}' is not a host as browsers ask for it`);
  },
);

test.each(['notaurl', 'localhost:8233', 'javascript:alert(1)', 'http://ui:s3cret@ui', 'http://ui/?s3cret', 'http://'])(
  '%j is not the address of a page, and is not repeated',
  async (address) => {
    const words = await refused('--temporal-ui', address);
    expect(words).toContain("must be the address of Temporal's own page");
    expect(words).not.toContain('s3cret');
  },
);

test.each(['http://127.0.0.1:8233', 'https://cloud.temporal.io/', 'http://[::1]:8233/ui', ''])(
  'Temporal’s page at %j',
  async (address) => {
    expect(await refused('--temporal-ui', address)).toContain(TAKEN);
  },
);
