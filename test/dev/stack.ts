/** Helpers of the development stack's tests: folders, processes of a folder, a parent process that can be killed. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { allPids, commandLine, ended, markOf, type ProcessMark } from '../../config/dev/processes';
import { readDevState, type DevState } from '../../config/dev/state';
import { temporaryFolder } from '../../workers/dev/temporary';

/** A new folder below the temporary one, which the user `postgres` may enter. */
export function newFolder(): string {
  return path.join(temporaryFolder('test'), '.longwatch');
}

export function removeFolder(dir: string): void {
  rmSync(path.dirname(dir), { recursive: true, force: true });
}

/** Command lines of everything that runs for a folder. */
export function runningFor(dir: string): string[] {
  return allPids()
    .map((pid) => commandLine(pid).join(' '))
    .filter((line) => line.includes(dir));
}

/** Whether a test can be another user: as root only, and where that user may run this Node and read this checkout. */
export function canRunAs(uid: number): boolean {
  if (process.getuid?.() !== 0) return false;
  const script = "require('tsx/cjs'); require('./workers/dev/errors')";
  const cwd = path.join(__dirname, '..', '..');
  const env = { PATH: process.env.PATH, TMPDIR: os.tmpdir() };
  return spawnSync(process.execPath, ['-e', script], { cwd, env, uid, gid: uid, stdio: 'ignore' }).status === 0;
}

export async function query(databaseUrl: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Everything that a stack runs: its supervisor and both servers. */
export function marksOf(state: DevState): ProcessMark[] {
  return [state.supervisor, state.servers.temporal!, state.servers.postgres!];
}

export async function allEnded(marks: ProcessMark[]): Promise<boolean> {
  return (await Promise.all(marks.map((mark) => ended(mark, 20_000)))).every(Boolean);
}

/** A `longwatch dev` that does nothing but keep the stack, in a process of its own. */
export async function startParent(dir: string): Promise<{ child: ChildProcess; mark: ProcessMark; state: DevState }> {
  const script = path.join(__dirname, 'parent.ts');
  const child = spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') break;
  }
  return { child, mark: markOf(child.pid!)!, state: readDevState(dir)! };
}
