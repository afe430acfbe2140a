/**
 * `npm run soak -- server`: the test suite on a Temporal server that is newer than any `temporal` command that Go can
 * build. The server is built as a Go module; a script called `temporal` stands before it on PATH and reads the
 * command's flags (`start-dev.ts`), so that the development stack takes it for the command. Each server that was
 * started has told its version itself.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from '../../workers/dev/temporal';

/** The newest server that Go 1.26.8 builds. */
export const NEWEST_SERVER = '1.32.0';
const ROOT = path.join(__dirname, '..', '..');

/** The server alone has no web page, so the one test that looks at it is left out. */
const WITHOUT_WEB_PAGE = '^(?!.*the web page answers)';

/**
 * @param only parts of test files' paths; none: all of them
 * @returns 0 when the suite passes on that server
 */
export async function suiteOnNewServer(only: readonly string[], say: (line: string) => void): Promise<number> {
  const server = await built(say);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'longwatch-newest-'));
  try {
    const started = path.join(folder, 'started');
    writeFileSync(started, '');
    const { status, counts } = await suite(commandFor(server, folder, started), only);
    const versions = readFileSync(started, 'utf8').split('\n').filter(Boolean);
    const others = versions.filter((version) => version !== NEWEST_SERVER);
    const tried = versions.length - others.length;
    const also = others.length > 0 ? `, and ${others.length} others` : '';
    say(`${counts ?? 'no tests were counted'}; ${tried} Temporal servers of ${NEWEST_SERVER} were started${also}`);
    // If none was started, another server may have done its work, or nobody.
    const ran = counts !== undefined && versions.length > 0 && others.length === 0;
    return status === 0 && ran ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the server's path, once it is there and is of that version */
export async function built(say: (line: string) => void): Promise<string> {
  const folder = path.join(path.dirname(cacheFolder()), `server-v${NEWEST_SERVER}`);
  const server = path.join(folder, 'server');
  if (!existsSync(server)) {
    const module = `go.temporal.io/server/cmd/server@v${NEWEST_SERVER}`;
    say(`Compiling Temporal's server ${NEWEST_SERVER} with go install (once, takes about 6 minutes) …`);
    mkdirSync(folder, { recursive: true });
    const half = mkdtempSync(path.join(folder, 'half-'));
    try {
      await promisify(execFile)('go', ['install', module], {
        // Away from the project: a go.mod or go.work there would be obeyed.
        cwd: half,
        env: { ...process.env, GOBIN: half, GOFLAGS: '', GOOS: '', GOARCH: '' },
      });
      // Whole or not at all, also when it is ended in the middle.
      renameSync(path.join(half, 'server'), server);
    } catch (error) {
      throw new Error(cannotBuild(module, error));
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
  }
  const { stdout } = await promisify(execFile)(server, ['--version']);
  if (!stdout.includes(` ${NEWEST_SERVER}\n`))
    throw new Error(`${server} is ${stdout.trim()}: delete it and try again`);
  say(`Temporal's server ${NEWEST_SERVER}: ${server}`);
  return server;
}

function cannotBuild(module: string, error: unknown): string {
  const { code, stderr, message } = error as { code?: unknown; stderr?: string; message: string };
  if (code === 'ENOENT') return `Go is needed to build Temporal's server (go.dev/doc/install): go install ${module}`;
  return `go install ${module} did not work:\n${(stderr || message).trim().slice(-2_000)}`;
}

/** Makes the command `temporal` for PATH. @returns its folder */
export function commandFor(server: string, folder: string, started: string): string {
  const script = `#!/bin/bash
set -eu
words=$("${process.execPath}" --require "${require.resolve('tsx/cjs')}" "${path.join(__dirname, 'start-dev.ts')}" $$ "${started}" "$@")
mapfile -t words <<< "$words"
exec -a temporal "${server}" "\${words[@]}"
`;
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'temporal'), script);
  chmodSync(path.join(bin, 'temporal'), 0o755);
  chmodSync(folder, 0o755);
  return bin;
}

/** Jest, as `npm test` runs it. @returns its exit status, and its own last count of tests */
async function suite(bin: string, only: readonly string[]): Promise<{ status: number; counts: string | undefined }> {
  const child = spawn('npx', ['jest', '--ci', '--testNamePattern', WITHOUT_WEB_PAGE, ...only], {
    cwd: ROOT,
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let counts: string | undefined;
  let rest = '';
  child.stderr.on('data', (chunk: Buffer) => {
    process.stderr.write(chunk);
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!;
    // eslint-disable-next-line no-control-regex -- the colours of a terminal
    const plain = lines.map((line) => line.replace(/\x1b\[[0-9;]*m/g, ''));
    counts = plain.findLast((line) => /^Tests: /.test(line))?.replace(/^Tests: +/, '') ?? counts;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { status: code ?? 1, counts };
}
