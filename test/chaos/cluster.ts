/**
 * The cluster that the bad days happen to: a stack, workers as processes, one tracker (`fixture.config.ts`) and what is
 * known of its members. Made by `kill.test.ts` and `main.ts`; `scenarios.ts` breaks it and says what must hold.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { resolveConfig } from '../../exports';
import type { TrackerHandle } from '../../client/tracker/handle';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './fixture.config';

const CONFIG = path.join(__dirname, 'fixture.config.ts');
const MEMBERS = 150;

export class Cluster {
  workers: WorkerProcess[] = [];
  /** The ids that must be tracked: every change of this list was accepted. */
  readonly expected = new Set<string>();
  /** Adds that failed: their answer may have been lost, so they may be tracked or not. */
  readonly uncertain = new Set<string>();

  private constructor(
    readonly stack: Stack,
    readonly tracker: TrackerHandle,
  ) {}

  /** Two workers, all members fetched. */
  static async start(): Promise<Cluster> {
    const stack = await Stack.start({ own: true });
    const cluster = new Cluster(stack, (await stack.connect()).tracker('chaos'));
    await cluster.addWorker();
    await cluster.addWorker();
    await cluster.restart();
    const ids = Array.from({ length: MEMBERS }, (_, i) => `id-${i}`);
    await cluster.tracker.add(ids, { wait: true });
    for (const id of ids) cluster.expected.add(id);
    await cluster.allFresh(20_000);
    return cluster;
  }

  async addWorker(env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
    const one = this.stack.workerProcess(CONFIG, env);
    await one.ready;
    this.workers.push(one);
    return one;
  }

  /** Pools that a worker's fence is on. */
  async poolsOf({ pid }: WorkerProcess): Promise<number> {
    const [row] = await this.stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.pool p join longwatch.node n on n.name = p.node
       where n.pid = $1 and p.released_at is null`,
      [pid],
    );
    return row!.n;
  }

  /** Two workers as at the start, both with work. */
  async twoWorkers(): Promise<void> {
    while (this.workers.length < 2) await this.addWorker();
    while (this.workers.length > 2) await this.kill(this.workers[0]!);
    await this.allFresh(20_000);
  }

  /** Starts the tracker again that was stopped. */
  async restart(): Promise<boolean> {
    await this.tracker.start(resolveConfig(config).trackers[0]!.options);
    return true;
  }

  async kill(one: WorkerProcess): Promise<void> {
    this.workers = this.workers.filter((other) => other !== one);
    await one.kill('SIGKILL');
  }

  /** Members whose value is older than so many seconds. */
  async old(seconds: number): Promise<number> {
    const [row] = await this.stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.member m left join longwatch.value v on v.member = m.key
       where m.removed_at is null and (v.fetched_at is null or v.fetched_at < now() - make_interval(secs => $1))`,
      [seconds],
    );
    return row!.n;
  }

  /**
   * The most members of many looks whose value is older than so many seconds. A look right after the machine itself
   * stood still says nothing of the cluster, and is left out.
   */
  async mostOld(seconds: number, forMs: number): Promise<number> {
    let most = 0;
    const until = performance.now() + forMs;
    let [last, calmFrom] = [performance.now(), -Infinity];
    while (performance.now() < until) {
      const old = await this.old(seconds);
      const now = performance.now();
      if (now - last > 2_000) calmFrom = now + 2_000 * seconds;
      if (now >= calmFrom) most = Math.max(most, old);
      last = now;
      await delay(500);
    }
    return most;
  }

  async allFresh(withinMs: number): Promise<void> {
    await eventually('everybody is fresh', async () => (await this.old(1.5)) === 0, withinMs);
  }

  /** The ids that are tracked now. */
  async members(): Promise<Set<string>> {
    const found = new Set<string>();
    for await (const member of this.tracker.list()) found.add(member.id);
    return found;
  }

  /** Adds and waits until it is accepted, as a caller does that must not lose it. */
  async insistOnAdding(id: string): Promise<void> {
    await eventually(`${id} is accepted`, () => this.tracker.add([id]).then(() => true));
    this.expected.add(id);
  }

  async insistOnRemoving(id: string): Promise<void> {
    await eventually(`the end of ${id} is accepted`, () => this.tracker.remove([id]).then(() => true));
    this.expected.delete(id);
    this.uncertain.delete(id);
  }

  close(): Promise<void> {
    return this.stack.close();
  }
}

export const pause = (ms: number): Promise<void> => delay(ms);
