/**
 * `npm run soak -- server`: the test suite on a Temporal server that is newer than any `temporal` command that Go can build. The server
 * is built as a Go module; `start-dev.ts` gives it the command's flags, so that the development stack takes it for the command.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheFolder } from '../../workers/dev/temporal';
import { sh } from './checkout';

/** The newest server that Go 1.26.8 builds. */
const SERVER = 'v1.32.0';
const ROOT = path.join(__dirname, '..', '..');

/** @returns 0 when the suite passes */
export async function suiteOnNewServer(say: (line: string) => void): Promise<number> {
  const server = path.join(path.dirname(cacheFolder()), `server-${SERVER}`, 'server');
  if (!existsSync(server)) {
    say(`Compiling Temporal's server ${SERVER} with go install (once, takes about 6 minutes) …`);
    mkdirSync(path.dirname(server), { recursive: true });
    await sh(`GOFLAGS= go install go.temporal.io/server/cmd/server@${SERVER}`, os.tmpdir(), {
      ...process.env,
      GOBIN: path.dirname(server),
    });
  }
  const bin = mkdtempSync(path.join(os.tmpdir(), 'longwatch-newest-'));
  const shim = path.join(bin, 'temporal');
  // Without the database file in its command line, so a server that was left behind is not found: what tests that is left out below.
  writeFileSync(
    shim,
    `#!/bin/bash
set -eu
settings=$(mktemp -d)
"${process.execPath}" --require "${require.resolve('tsx/cjs')}" "${path.join(__dirname, 'start-dev.ts')}" "$settings" "$@"
exec "${server}" --config-file "$settings/server.yaml" --allow-no-auth start
`,
  );
  chmodSync(shim, 0o755);
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const child = spawn('npx', ['jest', '--ci', '--testPathIgnorePatterns', '/test/dev/'], {
    cwd: ROOT,
    env,
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0 ? 0 : 1;
}
