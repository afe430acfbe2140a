/**
 * One worker as the place where passes run: its connections for them, the code of its sweeps, its metrics. Made by
 * `workers/parts.ts`; `activities` are what the job's workflow calls.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { ResolvedJob, SweepDefinition } from '../../config/define/job';
import type { JobActivities } from '../../workflows/job/contract';
import { Transactions } from '../durable/transaction';
import { Database } from '../lib/database';
import type { Service } from '../lib/service';
import type { TemporalLink } from '../lib/temporal';
import { DefinedJobs } from './defined';
import { declareJob, openJob, setJobOptions, setJobState } from './commands';
import { runPass } from './pass';
import { JobMetrics } from './telemetry';
import { Backends } from './backends';
import type { JobDeps, PassHost, StopSignal } from './pass-context';
import { sleep } from '../lib/sleep';

interface JobNodeSetup {
  nodeName: string;
  databaseUrl: string;
  directDatabaseUrl?: string;
  jobs: readonly ResolvedJob[];
  temporal: TemporalLink;
  log: Logger;
  registry?: Registry;
  /** Connections of all jobs of the worker; one job uses at most half of them. @default 16 */
  connections?: number;
}

const CONNECTIONS = 16;
/** A chunk waits for a connection while others have them all; it is not an outage. */
const WAIT_MS = 60_000;
/** A single statement over a large table may take long; what hangs is ended by the operator. */
const STATEMENT_MS = 24 * 60 * 60_000;

/** At the worker's end: how long a chunk may take before it is cancelled, and how often that is asked for. */
const PATIENCE_MS = 3_000;
const CANCEL_AGAIN_MS = 500;
const CANCELS = 6;

export class JobNode implements PassHost, Service {
  readonly deps: JobDeps;
  readonly handlers: ReadonlyMap<string, SweepDefinition['handle']>;
  readonly defined: DefinedJobs;
  readonly metrics: JobMetrics;
  /** For what handlers of sweeps write: at most so many at once, so that a connection is left for progress. */
  readonly effects: Transactions;
  readonly backends: Backends;
  /** Chunks or pages of one job at once, at most. */
  readonly streams: number;
  private readonly passes = new Map<StopSignal, string>();
  private draining = false;
  private cancelled = 0;
  private closing: Promise<void> | undefined;

  constructor(setup: JobNodeSetup) {
    const { nodeName, databaseUrl: url, directDatabaseUrl: directUrl, temporal, log } = setup;
    const connections = setup.connections ?? CONNECTIONS;
    const database = new Database({
      url,
      directUrl,
      log,
      connections,
      statementTimeoutMs: STATEMENT_MS,
      connectTimeoutMs: WAIT_MS,
    });
    this.deps = { nodeName, database, temporal, log };
    this.handlers = new Map(setup.jobs.flatMap((job) => (job.handle ? [[job.name, job.handle] as const] : [])));
    this.defined = new DefinedJobs(setup.jobs);
    this.metrics = new JobMetrics(setup.registry, () => this.passes.values());
    this.streams = Math.max(1, Math.floor(connections / 2));
    this.backends = new Backends(database);
    this.effects = new Transactions(database, Math.max(1, connections - 2));
  }

  get activities(): JobActivities {
    const { database, nodeName } = this.deps;
    return {
      openJob: async (input) => {
        if (input.options) await this.defined.expect(database, input.job, input.options, nodeName);
        return openJob(database, input);
      },
      setJobState: (input) => setJobState(database, input),
      declareJob: async (input) => {
        await this.defined.expect(database, input.job, input.options, nodeName);
        return declareJob(database, input);
      },
      setJobOptions: (input) => setJobOptions(database, input),
      pass: (input) => runPass(this, input),
    };
  }

  get isDraining(): boolean {
    return this.draining;
  }

  join(job: string, stopSignal: StopSignal): () => void {
    this.passes.set(stopSignal, job);
    if (this.draining) stopSignal.end('handed back');
    return () => this.passes.delete(stopSignal);
  }

  /**
   * Takes no more passes, and asks those that run to hand back. Statements that do not end by themselves are cancelled.
   */
  async drain(): Promise<void> {
    this.draining = true;
    for (const stopSignal of this.passes.keys()) stopSignal.end('handed back');
    await this.ended(PATIENCE_MS);
    while (this.passes.size > 0) {
      // Not waited for: a server that does not answer must not keep this process.
      void this.backends.cancel();
      if (await this.ended(CANCEL_AGAIN_MS)) return;
      if (++this.cancelled === CANCELS) return;
    }
  }

  /** Whether no pass runs any more, after this time at the latest. */
  private async ended(withinMs: number): Promise<boolean> {
    const until = Date.now() + withinMs;
    while (this.passes.size > 0 && Date.now() < until) await sleep(10);
    return this.passes.size === 0;
  }

  /** Its connections are opened by the first pass. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await (this.closing ??= this.deps.database.close());
  }
}
