/**
 * One server process that is kept running: started, watched until it answers, started again when it dies, stopped.
 * Used by `supervisor.ts` for PostgreSQL (`postgres.ts`) and Temporal (`temporal-server.ts`), which say how.
 *
 * States: down → starting → up; up → starting when it dies by itself; any → down by `stop` and `kill`, which hold
 * until `start` is called again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DevServerError, PortTakenError } from './errors';
import { markOf, type ProcessMark } from '../../config/dev/processes';
import { errorMessage } from '../../workflows/lib/text';

/** How one server is run. */
export interface ServerSpec {
  name: string;
  port: number;
  file: string;
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
  /** Standard output and error are appended here. A pipe would break when the supervisor dies. */
  logFile: string;
  /** Asks for a clean end, without waiting for clients. */
  stopSignal: NodeJS.Signals;
  /** Made to end after this long. */
  stopMs: number;
  /** It must answer within this. */
  readyMs: number;
  /** Done once, when it answers; rejects only when aborted. */
  ready: (signal: AbortSignal) => Promise<void>;
  /** Before each start: clears what a crash left behind. */
  beforeStart?: () => Promise<void>;
}

export interface ServerEvents {
  /** A process was started (it may not answer yet), or ended (undefined). */
  onProcess: (mark: ProcessMark | undefined) => void;
  /** It died by itself, or could not be started again yet. */
  onTrouble: (message: string) => void;
  onRecovered: () => void;
}

const LOG_LIMIT = 10 * 1024 * 1024;
const ADDRESS_IN_USE = /address already in use|could not bind|bind: /i;

export class ManagedServer {
  private wanted = false;
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();
  private starting: Promise<void> | undefined;

  constructor(
    private readonly spec: ServerSpec,
    private readonly events: ServerEvents,
  ) {}

  /**
   * Starts it and waits until it answers.
   * @param patient Try again when it ends at once, as PostgreSQL does while leftovers of a killed one go away.
   * @throws PortTakenError, DevServerError
   */
  start(patient = true): Promise<void> {
    this.wanted = true;
    this.starting ??= this.startUntilUp(patient).finally(() => {
      this.starting = undefined;
    });
    return this.starting;
  }

  /** Ends it cleanly; by force after `stopMs`. */
  async stop(): Promise<void> {
    this.wanted = false;
    const child = this.child;
    if (child) {
      child.kill(this.spec.stopSignal);
      const timer = setTimeout(() => child.kill('SIGKILL'), this.spec.stopMs);
      await this.exited;
      clearTimeout(timer);
    }
    await this.starting?.catch(() => undefined);
  }

  /** SIGKILL, for tests of bad days; it stays down until `start`. */
  async kill(): Promise<void> {
    this.wanted = false;
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  private async startUntilUp(patient: boolean): Promise<void> {
    const until = performance.now() + this.spec.readyMs;
    for (let pause = 100; ; pause = Math.min(pause * 2, 2_000)) {
      try {
        return await this.startOnce(until);
      } catch (error) {
        if (!patient || !this.wanted || performance.now() + pause > until) throw error;
        await delay(pause);
        if (!this.wanted) throw error;
      }
    }
  }

  private async startOnce(until: number): Promise<void> {
    const { spec } = this;
    await spec.beforeStart?.();
    const logStart = this.shortenLog();
    const log = openSync(spec.logFile, 'a', 0o600);
    const child = spawn(spec.file, spec.args, {
      cwd: spec.cwd,
      env: spec.env,
      uid: spec.uid,
      gid: spec.gid,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const ending = new AbortController();
    let failure = '';
    this.child = child;
    this.exited = new Promise((resolve) => {
      const end = (why: string): void => {
        if (this.child !== child) return;
        failure = why;
        this.child = undefined;
        this.events.onProcess(undefined);
        ending.abort();
        resolve();
      };
      child.once('error', (error) => end(error.message));
      child.once('exit', (code, signal) => end(signal ? `ended by ${signal}` : `exit status ${code}`));
    });
    if (child.pid !== undefined) this.events.onProcess(markOf(child.pid));

    const limit = setTimeout(() => child.kill('SIGKILL'), Math.max(1_000, until - performance.now()));
    try {
      await spec.ready(ending.signal);
    } catch {
      await this.exited;
    } finally {
      clearTimeout(limit);
    }
    if (this.child !== child) {
      const said = this.logSince(logStart);
      if (ADDRESS_IN_USE.test(said)) throw new PortTakenError(spec.port, spec.name);
      throw new DevServerError(`${spec.name} did not start (${failure}). From ${spec.logFile}:\n${tellingLines(said)}`);
    }
    ending.signal.addEventListener('abort', () => void this.diedByItself(failure));
  }

  private async diedByItself(failure: string): Promise<void> {
    if (!this.wanted) return;
    this.events.onTrouble(`${this.spec.name} died (${failure}); starting it again`);
    while (this.wanted) {
      try {
        await this.start();
        this.events.onRecovered();
        return;
      } catch (error) {
        if (this.wanted) this.events.onTrouble(errorMessage(error));
      }
    }
  }

  /** @returns where the next line will stand. */
  private shortenLog(): number {
    const size = statSync(this.spec.logFile, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= LOG_LIMIT) return size;
    truncateSync(this.spec.logFile);
    return 0;
  }

  private logSince(start: number): string {
    try {
      return readFileSync(this.spec.logFile).subarray(start).toString('utf8').trim();
    } catch {
      return '';
    }
  }
}

/**
 * The part of a server's last words that a reader needs: from its panic or fatal error on, else the end. Stack traces
 * are long.
 */
export function tellingLines(said: string): string {
  const lines = said.split('\n');
  const reason = lines.findIndex((line) => /^(panic|fatal|error)\b/i.test(line));
  return (reason < 0 ? lines.slice(-8) : lines.slice(reason, reason + 8)).join('\n');
}
