/**
 * A whole Longwatch for one test file or one run of a benchmark: a namespace of Temporal and a database of PostgreSQL,
 * workers in this process or as processes that can be killed, a client. `close()` ends all of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { on, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { createInterface } from 'node:readline';
import { Pool, type QueryResultRow } from 'pg';
import { pino, type Logger } from 'pino';
import { isOutage } from '../../activities/lib/database';
import { service, Services } from '../../activities/lib/service';
import type { Point } from '../../activities/lib/points';
import { connect } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { DevServers } from '../../workers/dev/servers';
import { createWorker, type LongwatchWorker, type WorkerSetup } from '../../workers/worker';
import { temporaryFolder } from '../../workers/dev/temporary';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';
import { askWhileItRuns, keepFewWorkflows, replayAll } from './replay-all';
import { serversOf } from './servers';

keepFewWorkflows();

export interface WorkerProcess {
  process: ChildProcess;
  pid: number;
  /** Resolves when it says that it works, with the name of its node. */
  ready: Promise<string>;
  /** Its metrics page. */
  metrics(): Promise<string>;
  /** Its memory after a collection, where Node was given `--expose-gc`. */
  memory(): Promise<NodeJS.MemoryUsage>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Lets it go on until its code is at this point, and stops the process there. Resolves then. */
  freezeAt(point: Point): Promise<void>;
  /** Lets it go on, and stop at no point any more. */
  goOn(): Promise<void>;
}

export class Stack {
  private readonly services = new Services();
  private readonly askNoMore: () => Promise<void>;

  private constructor(
    readonly dir: string,
    readonly servers: DevServers,
    readonly pool: Pool,
    readonly log: Logger,
  ) {
    this.askNoMore = askWhileItRuns(servers);
  }

  /**
   * @param options.own its own Temporal and PostgreSQL: for a test that kills one, or changes what all databases of a
   *   server share (roles, settings)
   * @param options.onProgress lines for people: the first start on a machine may take minutes.
   */
  static async start(
    options: { own?: boolean; onProgress?: (line: string) => void; synchronous?: 'OFF' | 'FULL' } = {},
  ): Promise<Stack> {
    const dir = temporaryFolder('test');
    const log = pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' }, pino.destination({ fd: 2, sync: true }));
    const servers = await serversOf({ dir, log, ...options });
    const pool = new Pool({ connectionString: servers.databaseUrl, max: 4 });
    pool.on('error', () => undefined);
    return new Stack(dir, servers, pool, log);
  }

  async sql<R extends QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.pool.query<R>(text, values)).rows;
  }

  /** A worker in this process that does not work yet: the test runs it, and ends it. */
  idleWorker(config: ConfigDefinition, setup: Partial<WorkerSetup> = {}): Promise<LongwatchWorker> {
    const start = () =>
      createWorker({
        config: resolveConfig(config),
        temporal: { address: this.servers.temporalAddress, namespace: this.servers.namespace },
        databaseUrl: this.servers.databaseUrl,
        metrics: { port: 0 },
        log: this.log,
        watchdogMs: null,
        workflowBundle: process.env.LONGWATCH_TEST_BUNDLE,
        ...setup,
      });
    // On a machine that stood still for seconds no connection is made in time; whoever runs a worker starts it again.
    return start().catch((error: unknown) => (isOutage(error) ? start() : Promise.reject(error as Error)));
  }

  /** A worker in this process, working. Shut down by `close` unless the test does it. */
  async worker(
    config: ConfigDefinition,
    setup: Partial<WorkerSetup> = {},
  ): Promise<LongwatchWorker & { ended: Promise<void> }> {
    const worker = await this.idleWorker(config, setup);
    const ended = worker.run();
    // A test that waits for it hears of a failure.
    ended.catch(() => undefined);
    await this.services.add(service({ stop: () => worker.shutdown() }));
    return { ...worker, ended };
  }

  /** A worker as a process of its own (`worker-process.ts`): to kill or freeze it, or to measure it. */
  workerProcess(configFile: string, env: NodeJS.ProcessEnv = {}, nodeFlags: readonly string[] = []): WorkerProcess {
    const child = spawn(
      process.execPath,
      [...nodeFlags, '--require', 'tsx/cjs', path.join(__dirname, 'worker-process.ts'), configFile],
      {
        cwd: path.join(__dirname, '../..'),
        env: {
          ...process.env,
          TEMPORAL_ADDRESS: this.servers.temporalAddress,
          TEMPORAL_NAMESPACE: this.servers.namespace,
          DATABASE_URL: this.servers.databaseUrl,
          LONGWATCH_TEST_BUNDLE: process.env.LONGWATCH_TEST_BUNDLE,
          ...env,
        },
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      },
    );
    const exited = once(child, 'exit');
    let metricsUrl = '';
    const ready = new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const [word, node, url] = line.split(' ');
        if (word !== 'ready') return;
        metricsUrl = url!;
        resolve(node!);
      });
      child.once('exit', (code) => reject(new Error(`the worker process ended with ${code}`)));
    });
    ready.catch(() => undefined);
    const kill = async (signal: NodeJS.Signals) => {
      child.kill(signal);
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await exited;
    };
    const end = async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await exited;
    };
    void this.services.add(service({ stop: end }));
    const metrics = async () => (await fetch(metricsUrl)).text();
    const memory = async () => {
      child.send('memory');
      const [usage] = (await once(child, 'message')) as [NodeJS.MemoryUsage];
      return usage;
    };
    const freezeAt = async (point: Point) => {
      child.send({ freezeAt: point });
      for await (const [message] of on(child, 'message'))
        if ((message as { frozenAt?: Point }).frozenAt === point) return;
    };
    const goOn = async () => {
      const heard = once(child, 'message');
      child.send({ freezeAt: null });
      // It may stand still already, or stop before it has read that.
      for (let answered = false; !answered;) {
        child.kill('SIGCONT');
        answered = await Promise.race([heard.then(() => true), delay(50).then(() => false)]);
      }
    };
    return { process: child, pid: child.pid!, ready, metrics, memory, kill, freezeAt, goOn };
  }

  async connect(): Promise<Longwatch> {
    const longwatch = await connect({
      environment: {
        temporal: { address: this.servers.temporalAddress, namespace: this.servers.namespace },
        databaseUrl: this.servers.databaseUrl,
      },
    });
    await this.services.add(service({ stop: () => longwatch.close() }));
    return longwatch;
  }

  async close(): Promise<void> {
    await this.services.stop().catch(() => undefined);
    await this.pool.end().catch(() => undefined);
    await this.askNoMore();
    try {
      await replayAll(this.servers);
    } finally {
      await this.servers.stop();
      rmSync(this.dir, { recursive: true, force: true });
    }
  }
}

/**
 * Looks again and again until `look` gives something (not undefined, null or false); fails with `what` after
 * `withinMs`.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  withinMs = 180_000,
): Promise<T> {
  const until = Date.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== null && seen !== false) return seen;
    } catch (error) {
      last = error;
    }
    if (Date.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`, { cause: last });
    await delay(50);
  }
}
