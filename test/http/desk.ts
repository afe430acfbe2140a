/**
 * A dashboard over real servers with one worker, and one of each thing: a tracker with members, a buffer, a regen. For
 * the tests of the API.
 */
import { createDashboard, type Dashboard, type DashboardOptions } from '../../http/app';
import { resolveConfig } from '../../config/resolve/config';
import type { ConfigDefinition } from '../../config/define/config';
import { defineBuffer } from '../../config/define/buffer';
import type { Json } from '../../workflows/lib/json';
import { eventually, Stack } from '../support/stack';

export interface Asking {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** An answer, read. */
export interface Answered {
  status: number;
  body: unknown;
  headers: Headers;
}

const CONFIG: ConfigDefinition = {
  trackers: [
    {
      name: 'things',
      operations: {
        look: { every: '1s', run: async ({ id }) => ({ value: { id } }) },
        token: { every: '1h', hidden: true, run: async () => ({ value: 'a secret token' }) },
      },
    },
  ],
  buffers: [defineBuffer<Json>({ name: 'mail', maxBatchSize: 10, run: async () => undefined })],
  regens: [{ name: 'energy', table: 'hero', set: { energy: 'least(energy + 1, 100)' }, every: '1h' }],
};

/** Asks as a program does: no browser, so no origin. */
export async function ask(dashboard: Dashboard, path: string, { method = 'GET', body, headers = {} }: Asking = {}) {
  const response = await dashboard(
    new Request(`http://localhost:8765/api/v1${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
  const text = await response.text();
  return {
    status: response.status,
    body: text === '' ? undefined : (JSON.parse(text) as unknown),
    headers: response.headers,
  };
}

export class Desk {
  private constructor(
    readonly stack: Stack,
    readonly dashboard: Dashboard,
  ) {}

  static async start(): Promise<Desk> {
    const stack = await Stack.start();
    await stack.sql(`create table hero (id int primary key, energy int not null) with (fillfactor = 80)`);
    await stack.sql(`insert into hero select n, 0 from generate_series(1, 20) n`);
    await stack.worker(CONFIG);
    const longwatch = await stack.connect();
    const { trackers, buffers, jobs } = resolveConfig(CONFIG);
    for (const { name, options } of trackers) await longwatch.tracker(name).start(options);
    for (const { name, options } of buffers) await longwatch.buffer(name).start(options);
    for (const { name, options } of jobs) await longwatch.job(name).start(options);
    await longwatch.tracker('things').add(['a/b', 'c', '{d}'], { wait: true });
    await eventually('a value', async () => (await longwatch.tracker('things').show('c')).values.length === 2);
    return new Desk(stack, Desk.dashboard(stack, { open: true, actor: 'tester' }));
  }

  static dashboard(stack: Stack, options: DashboardOptions): Dashboard {
    const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
    return createDashboard({ environment: { temporal: { address, namespace }, databaseUrl }, ...options });
  }

  ask(path: string, asking?: Asking): Promise<Answered> {
    return ask(this.dashboard, path, asking);
  }

  async close(): Promise<void> {
    await this.dashboard.close();
    await this.stack.close();
  }
}
