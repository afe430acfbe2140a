/**
 * A `longwatch dev` as people start it, as a process on some ground: ready, asked, ended, started again. Used by
 * `grounds.ts`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

export interface Where {
  /** The command and what goes before its verb. */
  command: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  uid?: number;
  /** Flags of `dev`. */
  flags?: readonly string[];
  /**
   * The command is a package manager's, which ends by the signal itself and may not wait for the command that it runs.
   */
  managed?: boolean;
}

export interface Ready {
  ready: true;
  temporalAddress: string;
  metricsUrl: string;
  notes: string[];
  trackers: { name: string; state: string; members: number }[];
}

/** A start that compiles nothing and downloads nothing takes seconds; on a busy machine some more. */
export const READY_MS = 180_000;

class DevProcess {
  private constructor(
    readonly ready: Ready,
    private readonly where: Where,
    private readonly child: ChildProcess,
  ) {}

  /** @throws with all that the process has said, when it ends or is not ready in time */
  static async start(where: Where): Promise<DevProcess> {
    const [file, ...args] = [...where.command, 'dev', '--json', ...(where.flags ?? [])] as [string, ...string[]];
    // A group of its own: as a terminal does, a signal goes to the command and to what stands before it (npx, a package
    // manager).
    const child = spawn(file, args, { ...options(where), detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: string[] = [];
    const complained: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => complained.push(line));
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), READY_MS);
    try {
      const ready = await new Promise<Ready>((resolve, reject) => {
        createInterface({ input: child.stdout }).on('line', (line) => {
          said.push(line);
          // One object, in one line or in many.
          const text = said.slice(said.findIndex((each) => each.startsWith('{'))).join('\n');
          const ready = parsed(text);
          if (ready) resolve(ready);
        });
        child.once('error', reject);
        child.once('exit', (code, signal) =>
          reject(new Error(`ended by ${signal ?? code}:\n${[...complained, ...said].join('\n')}`)),
        );
      });
      return new DevProcess(ready, where, child);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A verb in a second terminal. @returns its standard output */
  async ask(...args: string[]): Promise<string> {
    const [file, ...first] = this.where.command as [string, ...string[]];
    return (await promisify(execFile)(file, [...first, ...args], options(this.where))).stdout;
  }

  /** Ctrl-C; fails where it does not end well. */
  async interrupt(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error('it has ended before Ctrl-C');
    const exited = once(this.child, 'exit');
    process.kill(-this.child.pid!, 'SIGINT');
    const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
    // If it has not waited for its command, the next start does.
    const well = code === 0 || (this.where.managed === true && (code === 130 || signal === 'SIGINT'));
    if (!well) throw new Error(`Ctrl-C ended it with ${signal ?? code}`);
  }

  /** Whatever is left of it. */
  kill(): void {
    try {
      process.kill(-this.child.pid!, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function parsed(text: string): Ready | undefined {
  try {
    return JSON.parse(text) as Ready;
  } catch {
    return undefined;
  }
}

export function options({ cwd, env, uid }: Where): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  return { cwd, env, ...(uid === undefined ? {} : { uid, gid: uid }) };
}

/**
 * Starts it twice on one ground: the first start takes a member more, and the second one has it.
 * @returns what the first start said of itself
 */
export async function startsTwice(where: Where): Promise<Ready> {
  const first = await DevProcess.start(where);
  const before = membersOf(first.ready);
  try {
    await first.ask('add', before.name, '424242', '--wait');
    await hasMembers(first, before.name, before.members + 1);
    await first.interrupt();
  } finally {
    first.kill();
  }
  const second = await DevProcess.start(where);
  try {
    await hasMembers(second, before.name, before.members + 1);
    await second.interrupt();
  } finally {
    second.kill();
  }
  return first.ready;
}

/** The tracker of the config: without one there would be nothing to try. */
function membersOf({ trackers }: Ready): { name: string; members: number } {
  const [tracker] = trackers;
  if (tracker === undefined) throw new Error('the ready message names no tracker');
  return tracker;
}

async function hasMembers(process: DevProcess, tracker: string, members: number): Promise<void> {
  const text = await process.ask('status', tracker, '--json');
  const { trackers } = JSON.parse(text) as { trackers: { name: string; members: number }[] };
  const seen = trackers.find(({ name }) => name === tracker)?.members;
  if (seen !== members) throw new Error(`status shows ${seen} members, not ${members}: ${text}`);
}
