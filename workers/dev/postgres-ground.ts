/**
 * The ground that the development stack's PostgreSQL stands on: as which user it runs, and where its programs and its
 * data lie when that user cannot get into the project. Called by `postgres.ts`.
 *
 * PostgreSQL refuses to run as root, so for root (containers, CI) the user `postgres` runs it. That user may not be
 * able to enter the project: root's home is closed, and so is many a container's working folder. It gets no capability
 * that would let it pass, because with one the database's superuser could read every file of the machine. Instead,
 * programs and data go to a place that it can enter (`PLACES`), and `.longwatch/postgres` becomes a link to its data
 * there.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import path from 'node:path';
import { DevServerError } from './errors';
import { programsOf, postgresEnvironment, type PostgresBinaries } from './postgres-binaries';
import { namePrefix, passwd } from './user';

/**
 * The folders in which root may keep what the user `postgres` must reach; the first one that can be made and entered is
 * taken.
 */
const PLACES = ['/var/lib/longwatch', '/var/tmp/longwatch', '/tmp/longwatch'];

interface Ids {
  uid: number;
  gid: number;
}

export interface PostgresGround {
  programs: PostgresBinaries;
  /** The real path of the data folder, which may not be there yet. Its parent is. */
  data: string;
  /** Owner of the data folder, when that is not ourselves. */
  owner?: Ids;
  /** Options for `spawn`. */
  spawn: Partial<Ids>;
  /** The command before `initdb` and its arguments. */
  initdbPrefix: string[];
  /** Said to a person, where the data is not in the project's folder. */
  note?: string;
}

export interface GroundOptions {
  /** The root of the package with PostgreSQL's programs. */
  binaries: string;
  /** The place of the data folder, or of where it would be, in the project: `.longwatch/postgres`. */
  data: string;
  /** @default the process's own */
  uid?: number;
  /** @default PLACES */
  places?: readonly string[];
  /**
   * Whether the server has run in this project: then data that is not there is gone, and was not made yet otherwise.
   */
  hasRun?: boolean;
}

/** @throws DevServerError when no user that PostgreSQL accepts can get at its programs and its data. */
export function groundOf(options: GroundOptions): PostgresGround {
  const uid = options.uid ?? process.getuid?.() ?? -1;
  return uid === 0 ? groundOfRoot(options) : groundOfUser(options, uid);
}

/** The data folder that is in use for a project: where the link leads, or the folder itself. */
export function dataFolderOf(data: string): string {
  try {
    return realpathSync(data);
  } catch {
    return data;
  }
}

function groundOfUser(options: GroundOptions, uid: number): PostgresGround {
  const programs = programsOf(options.binaries);
  // A checkout that somebody else installed, or that npm unpacked without the right to execute.
  const usable = works([programs.postgres, '--version'])
    ? programs
    : copyOf(options.binaries, path.dirname(options.data));
  const data = dataFolderOf(options.data);
  const ground: PostgresGround = { programs: usable, data, spawn: {}, initdbPrefix: [] };
  if (existsSync(path.join(data, 'PG_VERSION'))) return ground;
  const initdbPrefix = namePrefix(uid);
  if (initdbPrefix !== undefined) return { ...ground, initdbPrefix };
  throw new DevServerError(
    `The user ${uid} has no entry in /etc/passwd, which PostgreSQL's initdb needs to make its data folder. ` +
      `Add one (longwatch:x:${uid}:0::/tmp:/bin/sh), run it as another user, or set DATABASE_URL.`,
  );
}

function groundOfRoot(options: GroundOptions): PostgresGround {
  const owner = unprivilegedUser();
  const as = { owner, spawn: owner, initdbPrefix: [] };
  const folder = path.dirname(options.data);
  const programs = programsOf(options.binaries);
  const linked = isLink(options.data);
  const runs = works([programs.postgres, '--version'], owner);
  if (runs && !linked && canEnter(folder, owner)) return { ...as, programs, data: options.data };

  const place = placeFor(owner, options.places ?? PLACES);
  if (place === undefined) {
    throw new DevServerError(
      `PostgreSQL does not run as root, and the user that runs it cannot enter ${folder} or ${path.dirname(programs.postgres)}. ` +
        'Move the project to a folder that others may enter, run it as another user, or set DATABASE_URL.',
    );
  }
  const reachable = runs ? programs : copyOf(options.binaries, place);
  // A data folder that stands there and can be reached is not moved, even if its programs must be.
  if (!linked && canEnter(folder, owner)) return { ...as, programs: reachable, data: options.data };
  const data = linkedData(options, place, owner);
  return { ...as, programs: reachable, data, note: `PostgreSQL's data is in ${data}, which its user can enter` };
}

/**
 * The data folder behind the link; made (and the link with it) where there is none, moved there where there was one.
 */
function linkedData({ data: link, hasRun }: GroundOptions, place: string, owner: Ids): string {
  if (isLink(link)) {
    const target = path.resolve(path.dirname(link), readlinkSync(link));
    const enters = canEnter(path.dirname(target), owner);
    const there = existsSync(path.join(target, 'PG_VERSION'));
    if (there && !enters) throw closed(target);
    // An empty database in its place would look as if all were well.
    if (!there && hasRun) throw gone(target, path.dirname(link));
    if (enters) return target;
    rmSync(link);
  }
  const home = mkdtempSync(path.join(place, `${path.basename(path.dirname(path.dirname(link))) || 'project'}-`));
  chownSync(home, owner.uid, owner.gid);
  const data = path.join(home, 'postgres');
  if (existsSync(link)) move(link, data);
  symlinkSync(data, link);
  return data;
}

const gone = (data: string, folder: string): DevServerError =>
  new DevServerError(
    `PostgreSQL's data was in ${data} and is not there any more: that place was emptied, or is not the one of this machine or container. ` +
      `Bring it back (a container needs a volume there), or remove ${folder} to begin with nothing, Temporal's part included.`,
  );

const closed = (data: string): DevServerError =>
  new DevServerError(
    `PostgreSQL's data is in ${data}, which its user cannot enter any more. Let others pass the folders above it, or set DATABASE_URL.`,
  );

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    execFileSync('cp', ['-a', from, to]);
    rmSync(from, { recursive: true });
  }
}

/** A folder that is root's, that others may pass and that nobody else may have prepared. */
function placeFor(owner: Ids, places: readonly string[]): string | undefined {
  return places.find((place) => {
    try {
      if (mkdirSync(place, { recursive: true }) !== undefined) chmodSync(place, 0o755);
      const found = lstatSync(place);
      return found.isDirectory() && found.uid === 0 && (found.mode & 0o022) === 0 && canEnter(place, owner);
    } catch {
      return false;
    }
  });
}

/** A copy of PostgreSQL's programs that may be executed, one a version; made whole or not at all. */
function copyOf(binaries: string, place: string): PostgresBinaries {
  const { version } = JSON.parse(readFileSync(path.join(binaries, 'package.json'), 'utf8')) as { version: string };
  const copy = path.join(place, `postgres-programs-${version}`);
  if (!existsSync(copy)) {
    const draft = mkdtempSync(`${copy}-`);
    try {
      // A read-only checkout may lack the libraries' links: they are made in the copy.
      cpSync(binaries, draft, { recursive: true, verbatimSymlinks: true });
      openForAll(draft);
      programsOf(draft);
      renameSync(draft, copy);
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      // Another start may have made it meanwhile.
      if (!existsSync(copy)) throw error;
    }
  }
  return programsOf(copy);
}

function openForAll(folder: string): void {
  chmodSync(folder, 0o755);
  execFileSync('chmod', ['-R', 'u+rwX,go+rX', folder]);
  for (const name of ['postgres', 'initdb', 'pg_ctl']) {
    const file = path.join(folder, 'native', 'bin', name);
    if (existsSync(file)) chmodSync(file, 0o755);
  }
}

/** The user `postgres`, made where it is missing, or else `nobody`. */
function unprivilegedUser(): Ids {
  const found = idsOf('postgres');
  if (found) return found;
  try {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'ignore' });
  } catch {
    // No useradd, or a read-only /etc.
  }
  const user = idsOf('postgres') ?? idsOf('nobody');
  if (user) return user;
  throw new DevServerError(
    "PostgreSQL does not run as root, and there is no user 'postgres'. Create one, run as another user, or set DATABASE_URL.",
  );
}

function idsOf(user: string): Ids | undefined {
  const line = passwd().find((entry) => entry[0] === user);
  return line && { uid: Number(line[2]), gid: Number(line[3]) };
}

function isLink(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function canEnter(folder: string, as: Ids): boolean {
  return works(['/bin/sh', '-c', 'cd "$0"', folder], as);
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
