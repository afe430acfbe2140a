/**
 * The places that PostgreSQL's user can reach: real programs, real users, as root. The case of an ordinary user is a
 * step of `npm run soak`.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { postgresPackage } from '../../workers/dev/postgres-binaries';
import { dataFolderOf, groundOf } from '../../workers/dev/postgres-ground';
import { startDevServers } from '../../workers/dev/servers';
import { readDevState } from '../../config/dev/state';
import { canRunAs, query } from './stack';

const asRoot = process.getuid?.() === 0 ? test : test.skip;
let folder: string;
let places: string[];

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'longwatch-ground-'));
  // As root's home is: nobody else may enter.
  mkdirSync(path.join(folder, 'closed', 'project', '.longwatch'), { recursive: true });
  chmodSync(path.join(folder, 'closed'), 0o700);
  chmodSync(folder, 0o755);
  places = [path.join(folder, 'place')];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const closed = (...parts: string[]): string => path.join(folder, 'closed', ...parts);
const inProject = (): string => closed('project', '.longwatch', 'postgres');

describe('root below a closed folder', () => {
  asRoot('programs and data go to a place that the user can enter, and the next start finds them there', () => {
    cpSync(postgresPackage(), closed('package'), { recursive: true, verbatimSymlinks: true });
    const options = { binaries: closed('package'), data: inProject(), places };
    const first = groundOf(options);
    expect(first.owner?.uid).toBeGreaterThan(0);
    expect(first.programs.postgres).toContain(places[0]);
    expect(first.data).toContain(path.join(places[0]!, 'project-'));
    expect(first.note).toContain(first.data);
    expect(first).toMatchObject({ spawn: first.owner, initdbPrefix: [] });
    const version = execFileSync(first.programs.initdb, ['--version'], { ...first.spawn, encoding: 'utf8', cwd: '/' });
    expect(version).toMatch(/^initdb \(PostgreSQL\)/);
    expect(groundOf(options)).toEqual(first);
    mkdirSync(first.data);
    expect(dataFolderOf(inProject())).toBe(first.data);
  });

  asRoot('data of an earlier release that lies in the project is taken along', () => {
    mkdirSync(inProject());
    execFileSync('sh', [
      '-c',
      `echo 18 > ${inProject()}/PG_VERSION; chown -R nobody ${inProject()}; chmod 700 ${inProject()}`,
    ]);
    const { data } = groundOf({ binaries: postgresPackage(), data: inProject(), places });
    expect(readFileSync(path.join(data, 'PG_VERSION'), 'utf8')).toBe('18\n');
    expect(lstatSync(inProject()).isSymbolicLink()).toBe(true);
  });

  asRoot('a link that leads nowhere is made anew', () => {
    const options = { binaries: postgresPackage(), data: inProject(), places };
    const { data } = groundOf(options);
    rmSync(places[0]!, { recursive: true });
    const again = groundOf(options);
    expect(again.data).not.toBe(data);
    expect(existsSync(path.dirname(again.data))).toBe(true);
  });

  asRoot.each(['the place', 'what the data lies in', 'the data'])(
    'where %s is gone that a server has worked on, no empty database takes its place',
    (what) => {
      const options = { binaries: postgresPackage(), data: inProject(), places, hasRun: true };
      const { data } = groundOf({ ...options, hasRun: false });
      // Not even there yet: a first start that has failed.
      expect(groundOf({ ...options, hasRun: false }).data).toBe(data);
      mkdirSync(data);
      writeFileSync(path.join(data, 'PG_VERSION'), '18\n');
      expect(groundOf(options).data).toBe(data);
      rmSync(what === 'the place' ? places[0]! : what === 'the data' ? data : path.dirname(data), { recursive: true });
      expect(() => groundOf(options)).toThrow(
        /^PostgreSQL's data was in .* and is not there any more: .* or remove .*\.longwatch to begin/,
      );
      expect(lstatSync(inProject()).isSymbolicLink()).toBe(true);
      // As the message says.
      rmSync(closed('project', '.longwatch'), { recursive: true });
      mkdirSync(closed('project', '.longwatch'));
      expect(groundOf(options).data).not.toBe(data);
    },
  );

  asRoot('data that its user cannot enter any more is not left for an empty database', () => {
    const options = { binaries: postgresPackage(), data: inProject(), places, hasRun: true };
    const { data } = groundOf({ ...options, hasRun: false });
    mkdirSync(data);
    writeFileSync(path.join(data, 'PG_VERSION'), '18\n');
    execFileSync('chown', ['root', path.dirname(data)]);
    chmodSync(path.dirname(data), 0o700);
    expect(() => groundOf(options)).toThrow(/^PostgreSQL's data is in .*, which its user cannot enter any more/);
    expect(lstatSync(inProject()).isSymbolicLink()).toBe(true);
  });

  asRoot('a place that somebody else has prepared is not used', () => {
    mkdirSync(places[0]!);
    execFileSync('chown', ['nobody', places[0]!]);
    expect(() => groundOf({ binaries: postgresPackage(), data: inProject(), places })).toThrow(/cannot enter .*closed/);
    const second = path.join(folder, 'second');
    expect(groundOf({ binaries: postgresPackage(), data: inProject(), places: [...places, second] }).data).toContain(
      second,
    );
  });

  asRoot(
    'the server has no right to read what its user may not read, and starts a second time on the same data',
    async () => {
      const secret = path.join(folder, 'secret');
      execFileSync('sh', ['-c', `echo hidden > ${secret}; chmod 600 ${secret}`]);
      for (const time of ['first', 'second']) {
        const servers = await startDevServers({
          dir: closed('project', '.longwatch'),
          ui: false,
          temporalAddress: 'given:1',
        });
        try {
          expect(servers.notes.join()).toContain("PostgreSQL's data is in ");
          await expect(query(servers.databaseUrl, `select pg_read_file('${secret}')`)).rejects.toThrow(
            /Permission denied/,
          );
          if (time === 'first') await query(servers.databaseUrl, 'create table kept as select 42 as answer');
          expect(await query(servers.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
          const { pid } = readDevState(closed('project', '.longwatch'))!.servers.postgres!;
          const status = readFileSync(`/proc/${pid}/status`, 'utf8');
          for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
            expect(status).toMatch(new RegExp(`${set}:\\s+0+\\n`));
        } finally {
          await servers.stop();
        }
      }
      rmSync(path.dirname(dataFolderOf(inProject())), { recursive: true });
      const third = startDevServers({ dir: closed('project', '.longwatch'), ui: false, temporalAddress: 'given:1' });
      await expect(third).rejects.toThrow(/^PostgreSQL's data was in .* and is not there any more/);
    },
  );
});

const asAnother = canRunAs(54_321) ? test : test.skip;
asAnother('a user without a name makes a data folder in a user namespace, or is told what is missing', () => {
  const uid = 54_321;
  chmodSync(closed(), 0o755);
  execFileSync('chown', ['-R', String(uid), closed('project')]);
  const script = `
    const { postgresPackage } = require('./workers/dev/postgres-binaries');
    const { groundOf } = require('./workers/dev/postgres-ground');
    const { execFileSync } = require('node:child_process');
    const { programs, data, initdbPrefix } = groundOf({ binaries: postgresPackage(), data: process.argv[1] });
    const [file, ...args] = [...initdbPrefix, programs.initdb, '-D', data, '--username=longwatch', '--no-sync'];
    execFileSync(file, args, { stdio: 'ignore', env: { LC_ALL: 'C' } });
    require('node:fs').rmSync(data + '/postmaster.opts', { force: true });
    console.log(execFileSync(programs.postgres, ['-C', 'data_directory', '-D', data], { encoding: 'utf8' }));`;
  const run = () =>
    execFileSync(process.execPath, ['--require', 'tsx/cjs', '-e', script, inProject()], {
      ...{ cwd: path.join(__dirname, '..', '..'), uid, gid: uid, encoding: 'utf8' as const },
      env: { PATH: process.env.PATH, TMPDIR: closed('project') },
    });
  if (namespacesWork(uid)) expect(run().trim()).toBe(inProject());
  else expect(run).toThrow(/has no entry in \/etc\/passwd/);
});

function namespacesWork(uid: number): boolean {
  try {
    execFileSync('unshare', ['--user', '--map-user=1', '--', 'true'], { uid, gid: uid, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

asRoot('below an open folder the data stays in the project', () => {
  chmodSync(closed(), 0o755);
  const ground = groundOf({ binaries: postgresPackage(), data: inProject(), places });
  expect(ground.data).toBe(inProject());
  expect(ground.note).toBeUndefined();
  expect(existsSync(places[0]!)).toBe(false);
});

asRoot("Temporal's files are private, also those of an earlier release", async () => {
  const dir = closed('project', '.longwatch');
  const servers = await startDevServers({ dir, ui: false, databaseUrl: 'postgres://given' });
  await servers.stop();
  expect(statSync(path.join(dir, 'temporal.sqlite')).mode & 0o077).toBe(0);
});
