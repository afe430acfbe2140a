/**
 * Servers that a killed supervisor left running. They are recognised by program **and** by the path in their own
 * command line, which lies in this project's folder, so no other process is ever touched. Called by `supervisor.ts`
 * before it starts anything, and by `postgres.ts` before each start.
 */
import path from 'node:path';
import { dataFolderOf } from './postgres-ground';
import { devFiles } from '../../config/dev/state';
import { allPids, commandLine, ended, markOf, signal, type ProcessMark } from '../../config/dev/processes';

/** The marks of a leftover server. */
export interface OrphanSign {
  program: 'postgres' | 'temporal';
  /** An argument that it was started with, whole: its data folder or file. */
  argument: string;
  gently: NodeJS.Signals;
}

/** Stops the servers of a folder that nobody keeps any more. @returns how many there were. */
export function stopServersOf(dir: string): Promise<number> {
  const { data, sqlite } = devFiles(dir);
  return stopOrphans([postgresSign(dataFolderOf(data)), { program: 'temporal', argument: sqlite, gently: 'SIGTERM' }]);
}

/** A PostgreSQL server on this data folder. */
export function postgresSign(data: string): OrphanSign {
  return { program: 'postgres', argument: data, gently: 'SIGINT' };
}

/** Stops all leftovers and waits for their end. @returns how many there were. */
export async function stopOrphans(signs: readonly OrphanSign[]): Promise<number> {
  const found = signs.flatMap((sign) => orphans(sign).map((mark) => ({ mark, sign })));
  await Promise.all(
    found.map(async ({ mark, sign }) => {
      signal(mark, sign.gently);
      if (await ended(mark, 10_000)) return;
      signal(mark, 'SIGKILL');
      await ended(mark, 5_000);
    }),
  );
  return found.length;
}

function orphans(sign: OrphanSign): ProcessMark[] {
  return allPids().flatMap((pid) => {
    const [program, ...args] = commandLine(pid);
    if (program === undefined || path.basename(program).split('-')[0] !== sign.program) return [];
    if (!args.includes(sign.argument)) return [];
    return markOf(pid) ?? [];
  });
}
