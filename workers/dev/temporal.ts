/**
 * Finds a `temporal` binary for the development server, or fetches one into the user's cache folder. Called by
 * `servers.ts` when no TEMPORAL_ADDRESS is given. In this order:
 * PATH; the cache folder; Go's folders of binaries; the SDK's own download; compiling it with Go.
 */
import { fork, spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { TemporalNotFoundError } from './errors';
import { errorMessage } from '../../workflows/lib/text';

/** The newest release: what is downloaded; server 1.32. */
export const TEMPORAL_CLI_VERSION = 'v1.9.1';

/** The newest tag that `go install` can build; server 1.29, the oldest that Longwatch supports. */
export const TEMPORAL_CLI_FROM_SOURCE = 'v1.5.1';

/** How often a person hears that something slow goes on. */
const PROGRESS_MS = 10_000;

export interface FindTemporalOptions {
  onProgress?: (line: string) => void;
  /** @default process.env */
  env?: NodeJS.ProcessEnv;
  /** The SDK's download is given up after this long. @default 120_000 */
  downloadMs?: number;
  /** Compiling is given up after this long. @default 30 minutes */
  installMs?: number;
  /** Downloads the pinned version into a folder; replaced in tests. @default the SDK's, in a process of its own */
  download?: (folder: string, limitMs: number) => Promise<void>;
}

/** @returns the path of an executable. @throws TemporalNotFoundError, whose message names all four ways. */
export async function findTemporal(options: FindTemporalOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const progress = options.onProgress ?? (() => undefined);
  const found = installedTemporal(env);
  if (found !== undefined) return found;

  const cache = usableCache(env);
  const tried: string[] = [];

  const downloading = `Downloading the temporal command ${TEMPORAL_CLI_VERSION} (once, some 60 MB)`;
  try {
    const limitMs = options.downloadMs ?? 120_000;
    await withProgress(downloading, progress, (options.download ?? downloadBySdk)(cache, limitMs));
    const downloaded = inFolder(cache);
    if (downloaded !== undefined) return downloaded;
    tried.push('the download left no binary');
  } catch (error) {
    tried.push(`download: ${firstLine(error)}`);
    progress('The download did not work; compiling the temporal command with Go instead');
  }

  const go = onPath('go', env);
  if (go === undefined) {
    tried.push('go: not on PATH');
  } else {
    try {
      const module = `github.com/temporalio/cli/cmd/temporal@${TEMPORAL_CLI_FROM_SOURCE}`;
      const compiling = `Compiling the temporal command ${TEMPORAL_CLI_FROM_SOURCE} with go install (once, takes about 6 minutes)`;
      await withProgress(compiling, progress, goInstall(go, module, cache, env, options.installMs ?? 30 * 60_000));
      const compiled = inFolder(cache);
      if (compiled !== undefined) return compiled;
      tried.push('go install left no binary');
    } catch (error) {
      tried.push(`go install: ${firstLine(error)}`);
    }
  }
  throw new TemporalNotFoundError(fourWays(cache, tried));
}

/** A `temporal` that is on this machine already, or undefined. */
export function installedTemporal(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const home = homeOf(env);
  const gopath = (env['GOPATH'] ?? '').split(path.delimiter).filter(Boolean);
  const ownGo = home === undefined ? undefined : path.join(home, 'go', 'bin');
  const folders = [env['GOBIN'], ...gopath.map((folder) => path.join(folder, 'bin')), ownGo];
  return (
    onPath('temporal', env) ??
    inFolder(cacheFolder(env)) ??
    inFolder(temporaryCache()) ??
    folders.flatMap((folder) => (folder ? (inFolder(folder) ?? []) : []))[0]
  );
}

/** The cache folder, made; the one for users without a home where that one is not theirs to write. */
function usableCache(env: NodeJS.ProcessEnv): string {
  for (const folder of [cacheFolder(env), temporaryCache()]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      accessSync(folder, constants.W_OK);
      if (isTrusted(folder)) return folder;
    } catch {
      // Not that one.
    }
  }
  throw new TemporalNotFoundError(
    `A temporal binary has to be kept in ${cacheFolder(env)}, which cannot be written. Set XDG_CACHE_HOME or TEMPORAL_ADDRESS.`,
  );
}

/** Below the shared temporary folder somebody else could have put a program for us to run. */
function isTrusted(folder: string): boolean {
  if (folder !== temporaryCache() || process.getuid === undefined) return true;
  const found = statSync(folder, { throwIfNoEntry: false });
  return found !== undefined && found.uid === process.getuid() && (found.mode & 0o022) === 0;
}

function temporaryCache(): string {
  return path.join(os.tmpdir(), `longwatch-${process.getuid?.() ?? 'cache'}`, 'bin');
}

/**
 * The folder of fetched binaries, for all projects of the user; for one without a home, below the temporary folder.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const home = homeOf(env);
  const cache = env['XDG_CACHE_HOME'] || (home === undefined ? undefined : path.join(home, '.cache'));
  return cache === undefined ? temporaryCache() : path.join(cache, 'longwatch', 'bin');
}

/**
 * Undefined for a user without one: no HOME, and no entry in /etc/passwd (where Node throws) or one that leads nowhere.
 */
function homeOf(env: NodeJS.ProcessEnv): string | undefined {
  try {
    const home = env['HOME'] || os.homedir();
    return statSync(home).isDirectory() ? home : undefined;
  } catch {
    return undefined;
  }
}

function fourWays(cache: string, tried: string[]): string {
  return [
    'No Temporal server, and no way to get one. Any one of these will do:',
    '  1. Set TEMPORAL_ADDRESS to a server that runs (for example 127.0.0.1:7233).',
    `  2. Put a temporal binary on PATH or into ${cache}.`,
    '  3. Give this machine access to the network, so that the Temporal SDK can download one.',
    '  4. Install Go, so that it can be compiled: ' +
      `go install github.com/temporalio/cli/cmd/temporal@${TEMPORAL_CLI_FROM_SOURCE}`,
    ...tried.map((line) => `  (${line})`),
  ].join('\n');
}

/** The SDK names its download after the version. */
function inFolder(folder: string): string | undefined {
  if (!isTrusted(folder)) return undefined;
  const versions = [TEMPORAL_CLI_VERSION, TEMPORAL_CLI_FROM_SOURCE];
  const names = ['temporal', ...versions.flatMap((version) => [`temporal-${version}`, `temporal-${version.slice(1)}`])];
  return names.map((name) => path.join(folder, name)).find(isExecutable);
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  return folders.map((folder) => path.join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** In a process of its own: a download that hangs in native code can only be ended with its process. */
function downloadBySdk(folder: string, limitMs: number): Promise<void> {
  const typescript = __filename.endsWith('.ts');
  const child = fork(path.join(__dirname, typescript ? 'download.ts' : 'download.js'), [folder, TEMPORAL_CLI_VERSION], {
    execArgv: typescript ? ['--require', require.resolve('tsx/cjs')] : [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return finished(child, limitMs);
}

function goInstall(go: string, module: string, gobin: string, env: NodeJS.ProcessEnv, limitMs: number): Promise<void> {
  // Without a home Go has no places of its own.
  const places =
    homeOf(env) === undefined ? { GOPATH: path.join(gobin, 'go'), GOCACHE: path.join(gobin, 'go-build') } : {};
  const child = spawn(go, ['install', module], {
    env: { ...env, ...places, GOBIN: gobin, GOFLAGS: '', GOOS: '', GOARCH: '' },
    // Away from the project: a go.mod or go.work there would be obeyed.
    cwd: gobin,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return finished(child, limitMs);
}

function finished(child: ReturnType<typeof spawn>, limitMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    let late = false;
    child.stderr?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4_000)));
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limitMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      if (late) reject(new Error(`took longer than ${Math.round(limitMs / 1_000)} s`));
      else if (code === 0) resolve();
      else reject(new Error(output.trim() || `exit status ${code}`));
    });
  });
}

async function withProgress<T>(what: string, progress: (line: string) => void, work: Promise<T>): Promise<T> {
  const start = performance.now();
  progress(`${what} …`);
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1_000);
    progress(`${what} … ${Math.floor(seconds / 60)} min ${seconds % 60} s`);
  }, PROGRESS_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

function firstLine(error: unknown): string {
  const text = errorMessage(error);
  return text.split('\n')[0]!.slice(0, 200);
}
