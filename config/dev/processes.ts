/**
 * Processes of this machine by pid: whether they still run, what they are, waiting for their end. Used by the
 * development stack to recognise its own servers after a crash (`supervisor.ts`, `orphans.ts`, `state.ts`).
 * A pid alone says little, because it is used again, so a process is noted as pid and start.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** One process, told apart from a later one with the same pid. */
export interface ProcessMark {
  pid: number;
  /** When it started, in words of the operating system; only ever compared. */
  started: string;
}

/** The mark of a running process, or undefined. A zombie does not run any more. */
export function markOf(pid: number): ProcessMark | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const started = process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid);
  return started === undefined ? undefined : { pid, started };
}

/** Whether the very process of the mark still runs. */
export function isRunning(mark: ProcessMark | undefined): boolean {
  return mark !== undefined && markOf(mark.pid)?.started === mark.started;
}

/** The arguments of a running process, program first; empty when it does not run or may not be read. */
export function commandLine(pid: number): string[] {
  try {
    if (process.platform === 'linux') {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    }
    return ps(['-ww', '-o', 'args=', '-p', String(pid)])
      .trim()
      .split(' ');
  } catch {
    return [];
  }
}

/** The pids of all processes that can be seen. */
export function allPids(): number[] {
  if (process.platform === 'linux') return readdirSync('/proc').map(Number).filter(Number.isSafeInteger);
  return ps(['-axo', 'pid=']).split('\n').map(Number).filter(Boolean);
}

/** Waits until the process has ended. @returns false when it still runs after `limitMs`. */
export async function ended(mark: ProcessMark, limitMs: number): Promise<boolean> {
  // A process that is not a child of ours gives no event, so it is looked at again and again.
  const until = performance.now() + limitMs;
  while (isRunning(mark)) {
    if (performance.now() > until) return false;
    await delay(25);
  }
  return true;
}

/** Sends a signal to the very process of the mark; one that has ended meanwhile is not an error. */
export function signal(mark: ProcessMark, name: NodeJS.Signals): void {
  if (!isRunning(mark)) return;
  try {
    process.kill(mark.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function startOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything; after it come the state and, 19 fields on, the start in ticks since
    // boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${bootId()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

/** Ticks since boot mean nothing after the next boot. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const [state, ...start] = ps(['-o', 'stat=,lstart=', '-p', String(pid)])
      .trim()
      .split(/\s+/);
    return state === undefined || state.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}

function ps(args: string[]): string {
  return execFileSync('ps', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
