/**
 * The files by which a running development stack is known: `dev.json` (addresses, ports, pids) and `dev.lock` (who
 * has the folder). Written by `supervisor.ts` only; read by `servers.ts` and, through `findDevState`, by the command
 * line, so that every verb finds the servers of the project it is called in.
 */
import { linkSync, mkdirSync, readFileSync, realpathSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isRunning, type ProcessMark } from './processes';

/** The folder of a project that holds all that the development stack keeps. */
const DEV_FOLDER = '.longwatch';

export type DevServerName = 'temporal' | 'postgres';

/** Content of `dev.json`. It holds the database's password, so the file is for its owner only (mode 0600). */
export interface DevState {
  version: 1;
  /** The `longwatch dev` process. */
  owner: ProcessMark;
  supervisor: ProcessMark;
  /** The servers that this stack runs itself; a given one has no entry. */
  servers: { temporal?: ProcessMark; postgres?: ProcessMark };
  ports: DevPorts;
  temporalAddress: string;
  namespace: string;
  uiUrl?: string;
  databaseUrl: string;
  /** Notes for a person about this start: ports that are not the usual ones, data that lies elsewhere. */
  notes?: string[];
  /** The worker's Prometheus endpoint, once it has one. */
  metricsUrl?: string;
}

export interface DevPorts {
  temporal?: number;
  ui?: number;
  postgres?: number;
}

/** The other contents of the folder. */
export function devFiles(
  dir: string,
): Record<'data' | 'sqlite' | 'password' | 'postgresLog' | 'temporalLog' | 'ownLog', string> {
  const file = (name: string): string => path.join(dir, name);
  return {
    data: file('postgres'),
    sqlite: file('temporal.sqlite'),
    password: file('postgres.password'),
    postgresLog: file('postgres.log'),
    temporalLog: file('temporal.log'),
    ownLog: file('supervisor.log'),
  };
}

/** Content of `dev.lock`. */
export interface DevLock {
  owner: ProcessMark;
  supervisor: ProcessMark;
}

/** `dir/dev.json` as it was last written, or undefined when there is none or it is damaged. */
export function readDevState(dir: string): DevState | undefined {
  const state = readJson<DevState>(path.join(dir, 'dev.json'));
  return state?.version === 1 ? state : undefined;
}

export function writeDevState(dir: string, state: DevState): void {
  writePrivately(path.join(dir, 'dev.json'), `${JSON.stringify(state, null, 2)}\n`);
}

/**
 * The state of the running development stack that belongs to a folder or one above it, or undefined. If
 * LONGWATCH_DIR names the folder that keeps everything (a checkout that may only be read), it is looked for there and
 * nowhere else.
 * @param from Usually the working directory.
 */
export function findDevState(from: string = process.cwd(), env: NodeJS.ProcessEnv = process.env): DevState | undefined {
  const named = env['LONGWATCH_DIR'];
  if (named) {
    const state = readDevState(path.resolve(from, named));
    return state && isRunning(state.supervisor) ? state : undefined;
  }
  for (let at = path.resolve(from); ; at = path.dirname(at)) {
    const dir = path.join(at, DEV_FOLDER);
    const state = readDevState(dir);
    if (state && isRunning(state.supervisor)) return state;
    if (at === path.dirname(at)) return undefined;
  }
}

/** The processes that have the folder now, or undefined when nobody has. */
export function lockHolder(dir: string): DevLock | undefined {
  const lock = readJson<DevLock>(lockFile(dir));
  return lock && isRunning(lock.supervisor) ? lock : undefined;
}

/**
 * Takes the folder for a supervisor. A lock whose process has ended is taken over.
 * @returns undefined when it is ours now, else its holder.
 */
export function takeLock(dir: string, mine: DevLock): DevLock | undefined {
  const file = lockFile(dir);
  // Written beside and then linked, so the lock appears at once with its content; linking fails where one exists.
  const draft = `${file}.${process.pid}`;
  writePrivately(draft, JSON.stringify(mine));
  try {
    for (;;) {
      try {
        linkSync(draft, file);
        return undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = lockHolder(dir);
      if (holder) return holder;
      dropStale(file);
    }
  } finally {
    unlink(draft);
  }
}

/** Gives the folder back. */
export function releaseLock(dir: string): void {
  if (readJson<DevLock>(lockFile(dir))?.supervisor.pid === process.pid) unlink(lockFile(dir));
}

/** Two starts may find the same old lock: the one that comes second must not drop the new lock of the first. */
function dropStale(file: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (isRunning(readJson<DevLock>(aside)?.supervisor)) {
    try {
      linkSync(aside, file);
    } catch {
      // A third one has it meanwhile.
    }
  }
  unlink(aside);
}

/** Creates the folder, with a note for git that it is nobody's source. @returns its real path. */
export function makeDevFolder(dir: string): string {
  mkdirSync(dir, { recursive: true });
  const real = realpathSync(dir);
  try {
    writeFileSync(path.join(real, '.gitignore'), '*\n', { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return real;
}

/** Writes a file that only its owner may read, whole or not at all. */
export function writePrivately(file: string, text: string): void {
  const draft = `${file}.tmp.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}

function lockFile(dir: string): string {
  return path.join(dir, 'dev.lock');
}

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

function unlink(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
