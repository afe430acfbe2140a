import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { canRunAs } from './stack';
import { TemporalNotFoundError } from '../../workers/dev/errors';
import { cacheFolder, findTemporal, TEMPORAL_CLI_VERSION } from '../../workers/dev/temporal';

let home: string;
let env: NodeJS.ProcessEnv;
const at = (...parts: string[]): string => path.join(home, ...parts);

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'longwatch-find-'));
  mkdirSync(at('path'));
  env = { HOME: home, PATH: at('path') };
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function program(file: string, script = 'exit 0', mode = 0o755): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode });
  return file;
}

const noDownload = (): Promise<void> => Promise.reject(new Error('no network here'));

test('the order is PATH, the cache folder, GOBIN, GOPATH, the Go folder of the home', async () => {
  Object.assign(env, { GOBIN: at('gobin'), GOPATH: `${at('gopath')}:${at('gopath2')}` });
  const inOrder = [
    program(at('path', 'temporal')),
    program(at('.cache', 'longwatch', 'bin', 'temporal')),
    program(at('gobin', 'temporal')),
    program(at('gopath', 'bin', 'temporal')),
    program(at('gopath2', 'bin', 'temporal')),
    program(at('go', 'bin', 'temporal')),
  ];
  for (const expected of inOrder) {
    expect(await findTemporal({ env, download: noDownload })).toBe(expected);
    rmSync(expected);
  }
});

test('XDG_CACHE_HOME moves the cache folder', () => {
  expect(cacheFolder({ ...env, XDG_CACHE_HOME: at('xdg') })).toBe(at('xdg', 'longwatch', 'bin'));
});

test('folders and files that are not executable are passed over', async () => {
  mkdirSync(at('path', 'temporal'));
  program(at('.cache', 'longwatch', 'bin', 'temporal'), 'exit 0', 0o644);
  const real = program(at('go', 'bin', 'temporal'));
  expect(await findTemporal({ env, download: noDownload })).toBe(real);
});

test('a download is found under the name that the SDK gives it', async () => {
  const download = async (folder: string): Promise<void> => {
    program(path.join(folder, `temporal-${TEMPORAL_CLI_VERSION}`));
  };
  const found = await findTemporal({ env, download });
  expect(found).toBe(at('.cache', 'longwatch', 'bin', `temporal-${TEMPORAL_CLI_VERSION}`));
  expect(await findTemporal({ env, download: noDownload })).toBe(found);
});

// Another user is needed, so only root can try it.
const describeAsRoot = canRunAs(54_321) ? describe : describe.skip;
describeAsRoot('where the user has no place of his own', () => {
  test.each([
    ['no home', () => ({ HOME: at('nowhere') })],
    ['a home that cannot be written', () => ({ HOME: closedHome() })],
  ])('%s: the binary goes below the temporary folder, into a folder that is his alone', async (_what, more) => {
    const found = await asUser(54_321, more());
    expect(found).toBe(path.join(at('tmp'), 'longwatch-54321', 'bin', 'temporal-v1.9.1'));
  });

  test('a folder there that somebody else has made is not trusted', async () => {
    const planted = path.join(at('tmp'), 'longwatch-54321', 'bin');
    program(path.join(planted, 'temporal'));
    await expect(asUser(54_321, { HOME: at('nowhere') })).rejects.toThrow(/which cannot be written/);
  });

  function closedHome(): string {
    mkdirSync(at('home'), { mode: 0o555 });
    return at('home');
  }

  /** The result for another user, with a download that works. */
  async function asUser(uid: number, more: NodeJS.ProcessEnv): Promise<string> {
    mkdirSync(at('tmp'), { recursive: true });
    for (const folder of [home, at('tmp')]) chmodSync(folder, 0o777);
    const script = `
      const { findTemporal } = require('./workers/dev/temporal');
      const { writeFileSync } = require('node:fs');
      const download = async (folder) => writeFileSync(folder + '/temporal-v1.9.1', '#!/bin/sh\\n', { mode: 0o755 });
      findTemporal({ download }).then((found) => console.log(found), (error) => { console.error(error.message); process.exit(1); });`;
    const options = {
      ...{ cwd: path.join(__dirname, '..', '..'), uid, gid: uid },
      env: { PATH: at('path'), TMPDIR: at('tmp'), ...more },
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['--require', 'tsx/cjs', '-e', script], options);
    return stdout.trim();
  }
});

test('without a download it is compiled with Go into the cache folder, and says how long that takes', async () => {
  program(
    at('path', 'go'),
    `echo "$@" > ${at('asked')}\nprintf '#!/bin/sh\\n' > "$GOBIN/temporal"\n/bin/chmod 755 "$GOBIN/temporal"`,
  );
  const lines: string[] = [];
  const found = await findTemporal({ env, download: noDownload, onProgress: (line) => lines.push(line) });
  expect(found).toBe(at('.cache', 'longwatch', 'bin', 'temporal'));
  expect(lines.join('\n')).toMatch(
    /Downloading .* v1\.9\.1 [^]*did not work[^]*Compiling .* v1\.5\.1 .*about 6 minutes/,
  );
});

test('when nothing works, one error names all four ways and what was tried', async () => {
  program(at('path', 'go'), 'echo "go: no such module" >&2; exit 1');
  const error = await findTemporal({ env, download: noDownload }).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(TemporalNotFoundError);
  const { message } = error as Error;
  for (const way of [
    'TEMPORAL_ADDRESS',
    cacheFolder(env),
    'SDK can download',
    `go install github.com/temporalio/cli`,
  ]) {
    expect(message).toContain(way);
  }
  expect(message).toContain('no network here');
  expect(message).toContain('go: no such module');
});

test('a Go that hangs is ended at the time limit', async () => {
  program(at('path', 'go'), 'exec /bin/sleep 60');
  await expect(findTemporal({ env, download: noDownload, installMs: 200 })).rejects.toThrow(/took longer than/);
});
