/** A `longwatch dev` as people start it, as a process on some ground: ready, asked, ended, started again. Used by `grounds.ts`. */
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
}

export interface Ready {
  ready: true;
  temporalAddress: string;
  metricsUrl: string;
  notes: string[];
  trackers: { name: string; state: string; members: number }[];
}

/** A start that compiles nothing and downloads nothing takes seconds; on a busy machine some more. */
const READY_MS = 180_000;

export class DevProcess {
  private constructor(
    readonly ready: Ready,
    private readonly where: Where,
    private readonly child: ChildProcess,
  ) {}

  /** @throws with all that the process has said, when it ends or is not ready in time */
  static async start(where: Where): Promise<DevProcess> {
    const [file, ...args] = [...where.command, 'dev', '--json', ...(where.flags ?? [])] as [string, ...string[]];
    // A group of its own: as a terminal does, a signal goes to the command and to what stands before it (npx, a package manager).
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
    const exited = once(this.child, 'exit');
    process.kill(-this.child.pid!, 'SIGINT');
    const [code] = (await exited) as [number | null];
    // A package manager ends by the signal itself, and may not wait for its command: the next start does.
    if (code !== 0 && code !== null && code !== 130) throw new Error(`Ctrl-C ended it with ${code}`);
  }

  kill(): void {
    process.kill(-this.child.pid!, 'SIGKILL');
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

/** Starts it twice on one ground; the second start has what the first one kept. @returns what the first start said of itself */
export async function startsTwice(where: Where): Promise<Ready> {
  const first = await DevProcess.start(where);
  const [tracker] = first.ready.trackers;
  try {
    if (tracker !== undefined) {
      await first.ask('add', tracker.name, '424242', '--wait');
      const shown = JSON.parse(await first.ask('status', tracker.name, '--json')) as unknown;
      if (!JSON.stringify(shown).includes(`"members":${tracker.members + 1}`)) {
        throw new Error(`status does not show the member that was added: ${JSON.stringify(shown)}`);
      }
    }
    await first.interrupt();
  } catch (error) {
    first.kill();
    throw error;
  }
  const second = await DevProcess.start(where);
  await second.interrupt();
  const kept = second.ready.trackers[0]?.members;
  if (tracker !== undefined && kept !== tracker.members + 1) {
    throw new Error(`the second start has ${kept} members, not ${tracker.members + 1}`);
  }
  return first.ready;
}
