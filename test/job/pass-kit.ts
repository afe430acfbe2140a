/**
 * Passes on a real PostgreSQL without a Temporal: the activities of a job as its workflow calls them, one worker's part
 * of them (`JobNode`), and ticks that are asked for by hand. For tests of what a pass does to rows; whole stacks
 * are in `regen.test.ts`.
 */
import { rmSync } from 'node:fs';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Pool, type PoolClient, type QueryResultRow } from 'pg';
import { pino } from 'pino';
import { JobNode } from '../../activities/job/node';
import type { TemporalLink } from '../../activities/lib/temporal';
import { resolveConfig, type ConfigDefinition } from '../../exports';
import type { JobOpening, PassInput, PassResult, TickRequest } from '../../workflows/job/contract';
import type { JobOptions } from '../../workflows/job/options';
import type { DevServers } from '../../workers/dev/servers';
import { temporaryFolder } from '../../workers/dev/temporary';
import { serversOf } from '../support/servers';

const log = pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' }, pino.destination({ fd: 2, sync: true }));

type PassActivity = (input: PassInput) => Promise<PassResult>;

export class PassStack {
  private readonly nodes: JobNode[] = [];
  private readonly passes = new Map<string, number>();

  private constructor(
    readonly servers: DevServers,
    readonly pool: Pool,
    private readonly dir: string,
  ) {}

  /** @param options.own as of `Stack.start` */
  static async start(options: { own?: boolean } = {}): Promise<PassStack> {
    const dir = temporaryFolder('pass');
    // No Temporal is asked.
    const servers = await serversOf({ dir, log, temporalAddress: '127.0.0.1:1', ...options });
    const pool = new Pool({ connectionString: servers.databaseUrl, max: 8 });
    pool.on('error', () => undefined);
    return new PassStack(servers, pool, dir);
  }

  async sql<R extends QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.pool.query<R>(text, values)).rows;
  }

  /** One number of one row. */
  async number(text: string, values: unknown[] = []): Promise<number> {
    return Number(Object.values((await this.sql<Record<string, unknown>>(text, values))[0]!)[0]);
  }

  /** Somebody else's transaction; rolled back unless it was ended. */
  async other<T>(use: (other: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      return await use(client);
    } finally {
      await client.query('rollback').catch(() => undefined);
      client.release();
    }
  }

  node(
    config: ConfigDefinition,
    setup: { connections?: number; databaseUrl?: string; directDatabaseUrl?: string } = {},
  ): JobNode {
    const node = new JobNode({
      nodeName: `n${this.nodes.length}`,
      databaseUrl: this.servers.databaseUrl,
      jobs: resolveConfig(config).jobs,
      temporal: { isCurrent: () => Promise.resolve(true) } as unknown as TemporalLink,
      log,
      ...setup,
    });
    this.nodes.push(node);
    return node;
  }

  /** As a start of the job does it. */
  open(node: JobNode, config: ConfigDefinition, job: string): Promise<JobOpening> {
    const options = resolveConfig(config).jobs.find(({ name }) => name === job)!.options;
    return node.activities.openJob({ job, options });
  }

  openWith(node: JobNode, job: string, options: JobOptions): Promise<JobOpening> {
    return node.activities.openJob({ job, options });
  }

  /** One pass as an activity. A tick now, unless another one is asked for. */
  begin(
    node: JobNode,
    job: string,
    over: Partial<TickRequest> = {},
    attempt = 1,
  ): { result: Promise<PassResult>; environment: MockActivityEnvironment } {
    const pass = (this.passes.get(job) ?? 0) + 1;
    this.passes.set(job, pass);
    const environment = new MockActivityEnvironment({
      attempt,
      heartbeatTimeoutMs: 5_000,
      workflowExecution: { workflowId: `job/${job}`, runId: 'run' },
    });
    const tick: TickRequest = { due: Date.now(), elapsed: 1, skipped: 0, ...over };
    const result: Promise<PassResult> = environment.run<[PassInput], PassResult, PassActivity>(node.activities.pass, {
      job,
      pass,
      tick,
    });
    result.catch(() => undefined);
    return { result, environment };
  }

  pass(node: JobNode, job: string, over: Partial<TickRequest> = {}): Promise<PassResult> {
    return this.begin(node, job, over).result;
  }

  /** Makes the job's table and row, and runs one tick of it. */
  async tick(config: ConfigDefinition, job: string): Promise<PassResult> {
    const node = this.node(config);
    await this.open(node, config, job);
    return this.pass(node, job);
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.stop().catch(() => undefined);
    await this.pool.end().catch(() => undefined);
    await this.servers.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
