/**
 * A simulated world of leases: some nodes with Longwatch's real code (`execute.ts`, `leases.ts`, `transaction.ts`),
 * rows as a model (`lease-model.ts`), a Temporal that calls again, and whatever goes wrong: answers that are late or
 * lost, outages, statements that hang, nodes that die or that Temporal loses sight of, code that fails. One history is
 * made by its seed. The promises are checked while it goes on and at its end; `lease-world.test.ts` lives through
 * thousands. Its happenings share one state, so they stand in one file; `lease-node.ts`, `lease-statements.ts` and
 * `lease-promises.ts` have the rest.
 */
import { execute } from '../../activities/durable/execute';
import type { Call } from '../../activities/durable/call';
import { failure } from '../../activities/lib/failures';
import type { Queryable, Statement } from '../../activities/lib/database';
import type { ActivityContext } from '../../config/define/activity';
import { compensationOf, type Envelope } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { VirtualTime } from '../support/virtual-time';
import { Draws } from '../support/draws';
import { LeaseModel } from './lease-model';
import { callOf, SimulatedNode, type Watch } from './lease-node';
import { checkEnd, type Effect, type Order, type Run } from './lease-promises';
import { applyStatement, settleOf } from './lease-statements';

const never = new Promise<never>(() => undefined);
const ENOUGH_MS = 6 * 3_600_000;

export class LeaseWorld {
  readonly time = new VirtualTime();
  private readonly draw: Draws;
  private readonly model = new LeaseModel(() => this.time.now);
  private readonly nodes: SimulatedNode[] = [];
  private readonly orders: Order[] = [];
  private readonly inTx: boolean;
  private readonly ttlMs: number;
  private readonly attempts: number;
  private readonly resource: boolean;
  /** No fault begins after this. */
  private readonly calmFrom: number;
  private readonly outages: [number, number][] = [];
  private readonly faultRate: number;
  /** Effects that happened: in the database those that were committed. */
  private readonly done: Effect[] = [];
  private readonly runs: Run[] = [];
  private readonly active = new Set<Run>();
  private readonly waitedFor = new Set<string>();
  /** Nodes that died, and those that Temporal lost sight of: these use attempts. */
  private crashes = 0;
  private broken: string | undefined;

  constructor(readonly seed: number) {
    this.draw = new Draws(seed);
    this.inTx = this.draw.chance(0.5);
    this.ttlMs = Math.round(this.draw.between(300, 3_000));
    this.attempts = 1 + Math.floor(this.draw.between(0, 3));
    this.resource = this.draw.chance(0.3);
    this.calmFrom = this.draw.between(2_000, 30_000);
    this.faultRate = this.draw.chance(0.3) ? 0 : this.draw.between(0.01, 0.25);
    for (let left = Math.floor(this.draw.between(0, 3)); left > 0; left--) {
      const from = this.draw.between(0, this.calmFrom);
      this.outages.push([from, from + this.draw.between(10, 4 * this.ttlMs)]);
    }
    for (let index = 0; index < 2 + Math.floor(this.draw.between(0, 2)); index++) this.addNode();
  }

  /** @throws with the seed when a promise is broken. */
  async live(): Promise<void> {
    this.time.install();
    try {
      const orders = 2 + Math.floor(this.draw.between(0, 5));
      const keys = 1 + Math.floor(this.draw.between(0, 2));
      let left = orders;
      for (let index = 0; index < orders; index++) {
        const order: Order = {
          name: `order ${index}`,
          run: `r${index}`,
          key: `key ${Math.floor(this.draw.between(0, keys))}`,
          end: 'open',
        };
        this.orders.push(order);
        void this.time
          .sleep(this.draw.chance(0.5) ? this.draw.between(0, 50) : this.draw.between(0, 20_000))
          .then(() => this.place(order))
          .catch((error: unknown) => this.fail(`an order ended oddly: ${String((error as Error).stack)}`))
          .finally(() => (left -= 1));
      }
      void this.killSome();
      const ended = await this.time.run(() => left === 0 || this.broken !== undefined, ENOUGH_MS);
      if (!ended) this.fail(`an order never ended: ${JSON.stringify(this.orders)}`);
      if (this.broken === undefined) {
        // Everything in the background ends: renewals, code that nobody waits for.
        await this.time.run(() => false, this.time.now + 10 * this.ttlMs);
        const { nodes, model, orders: all, done, runs, inTx, attempts, crashes } = this;
        checkEnd({ nodes, model, orders: all, done, runs, inTx, attempts, crashes }, (what) => this.fail(what));
      }
    } finally {
      this.time.uninstall();
    }
    if (this.broken !== undefined) throw new Error(`seed ${this.seed}: ${this.broken}`);
  }

  // ── What happens ──

  /** A workflow: pays, ships or fails; where it fails it takes back what it relies on. */
  private async place(order: Order): Promise<void> {
    const { run } = order;
    const began: Watch = { at: 0, givenUp: false, hear: [] };
    // Some have no more patience than this (`scheduleToCloseTimeout`), and take back what may have happened.
    const patience = this.draw.chance(0.25) ? this.time.sleep(this.draw.between(5, 4 * this.ttlMs)) : never;
    const paid = await Promise.race([
      this.drive(this.payCall(order, run), began),
      patience.then(() => 'given up' as const),
    ]);
    if (paid === 'given up') {
      began.givenUp = true;
      this.waitedFor.delete(`${run}/pay`);
      for (const hear of began.hear) void this.time.sleep(this.draw.between(1, 3_000)).then(hear);
      order.end = (await this.takeBack(order, run, `${run}/pay`)) ? 'taken back' : 'stuck';
      return;
    }
    if (paid === undefined) {
      order.end = 'failed';
      return;
    }
    order.relies = paid.task;
    const undone = this.done.find(({ what, target }) => what === 'undo' && target === paid.task);
    if (undone && undone.at < began.at)
      this.fail(`${order.name} got the result of ${paid.task}, which was taken back before`);
    if ((paid.value as { paid: string }).paid !== paid.task)
      this.fail(`${order.name} got another result than that of ${paid.task}`);
    await this.time.sleep(this.draw.between(0, 5_000));
    if (this.draw.chance(0.4)) {
      order.end = 'shipped';
      return;
    }
    order.end = (await this.takeBack(order, run, paid.task)) ? 'taken back' : 'stuck';
  }

  private async takeBack(order: Order, run: string, target: string): Promise<boolean> {
    return (await this.drive(this.undoCall(order, run, target), { at: 0, givenUp: false, hear: [] })) !== undefined;
  }

  /** Temporal: calls again until it is done or cannot be. Undefined: it has failed. */
  private async drive(call: Call, watch: Watch): Promise<Envelope | undefined> {
    const { task } = call.subject;
    this.waitedFor.add(task);
    try {
      for (let backoff = 200; ; backoff = Math.min(backoff * 2, 5_000)) {
        await this.time.sleep(this.draw.between(1, 20));
        const node = this.nodes[Math.floor(this.draw.next() * this.nodes.length)]!;
        if (watch.givenUp) return undefined;
        watch.at = this.time.now;
        const ended = await this.call(node, call, watch);
        if ('envelope' in ended) {
          // Its acknowledgement may be lost.
          if (!this.fault(0.3)) return ended.envelope;
        } else if (ended.error !== undefined) {
          const { nonRetryable, nextRetryDelay } = ended.error as { nonRetryable?: boolean; nextRetryDelay?: unknown };
          if (nonRetryable === true) return undefined;
          const wait = typeof nextRetryDelay === 'number' ? nextRetryDelay : nextRetryDelay === '100ms' ? 100 : backoff;
          await this.time.sleep(wait);
        }
      }
    } finally {
      this.waitedFor.delete(task);
    }
  }

  /** One attempt of Temporal's: it may lose sight of the node, and calls another one then while the first goes on. */
  private call(node: SimulatedNode, call: Call, watch: Watch): Promise<{ envelope: Envelope } | { error: unknown }> {
    const controller = new AbortController();
    const details = () => ({ cancelRequested: false, workerShutdown: false, paused: false, reset: false });
    return new Promise((resolve) => {
      const lost = () => resolve({ error: undefined });
      watch.hear.push(() => controller.abort());
      if (node.dead) return void this.time.sleep(1_000).then(lost);
      node.onDeath(() => void this.time.sleep(1_000).then(lost));
      if (this.fault(0.3)) {
        this.crashes += 1;
        void this.time.sleep(this.draw.between(1, 2 * this.ttlMs)).then(() => {
          lost();
          return this.time.sleep(this.draw.between(0, 500)).then(() => controller.abort());
        });
      }
      execute(
        node.services,
        { ...call, run: (context) => call.run({ ...context, node } as never) },
        { signal: controller.signal, details },
      )
        .then((envelope) => resolve({ envelope }))
        .catch((error: unknown) => resolve({ error }));
    });
  }

  private async killSome(): Promise<void> {
    while (this.faultRate > 0 && this.time.now < this.calmFrom) {
      await this.time.sleep(this.draw.between(500, 10_000));
      if (this.time.now >= this.calmFrom || !this.draw.chance(0.5)) continue;
      this.crashes += 1;
      this.nodes.splice(Math.floor(this.draw.next() * this.nodes.length), 1)[0]!.die();
      this.addNode();
    }
  }

  // ── What runs ──

  private payCall(order: Order, run: string): Call {
    const task = `${run}/pay`;
    const groups = [`task ${task}`, `key ${order.key}`, ...(this.resource ? ['resource'] : [])];
    return {
      ...callOf(task, 'pay', order.name, order.key, this.attempts, this.ttlMs),
      resource: this.resource ? 'account' : null,
      undo: true,
      run: this.code({ task, groups }, (at) => ({ task, what: 'pay', at }), { paid: task }),
    };
  }

  private undoCall(order: Order, run: string, target: string): Call {
    const task = `${run}/undo`;
    const activity = compensationOf('pay');
    return {
      ...callOf(task, activity, order.name, target, 60, this.ttlMs),
      details: { saga: order.name, target, taskQueue: 'q', input: null },
      run: this.code(
        { task, groups: [`task ${task}`, `task ${target}`] },
        (at) => ({ task, what: 'undo', target: this.model.tasks.get(task)?.target ?? target, at }),
        'done',
      ),
    };
  }

  /**
   * The user's code: takes its time, stops at its signal, may fail; its effect is in the transaction or happens at
   * once.
   */
  private code(who: Omit<Run, 'used'>, effect: (at: number) => Effect, result: unknown): Call['run'] {
    return async (context: ActivityContext) => {
      const node = (context as unknown as { node: SimulatedNode }).node;
      const run: Run = { ...who, used: context.attempt };
      this.begin(run);
      const end = () => this.active.delete(run);
      context.signal.addEventListener('abort', end, { once: true });
      node.onDeath(end);
      try {
        const steps = Math.floor(this.draw.between(0, 4));
        for (let step = 0; step <= steps; step++) {
          await this.time.sleep(
            this.draw.chance(0.8) ? this.draw.between(0, 30) : this.draw.between(0, 2 * this.ttlMs),
          );
          if (node.dead) await never;
          context.signal.throwIfAborted();
          if (step !== Math.floor(steps / 2)) continue;
          if (this.inTx) await context.tx.query('effect', [effect]);
          else this.done.push(effect(this.time.now));
        }
        if (this.fault(0.4)) throw new Error('the code fails');
        return result;
      } finally {
        end();
      }
    };
  }

  private begin(run: Run): void {
    for (const other of this.active) {
      const shared = run.groups.find((group) => other.groups.includes(group));
      if (shared !== undefined)
        this.fail(`two at a time of ${shared}: ${other.task} and ${run.task}, at ${this.time.now}`);
    }
    this.active.add(run);
    this.runs.push(run);
  }

  // ── The database ──

  private addNode(): void {
    const node: SimulatedNode = new SimulatedNode(
      `node-${this.nodes.length}-${Math.floor(this.time.now)}-${this.draw.next()}`,
      {
        rows: (statement, values) => this.statement(node, statement, values),
        transaction: (work) => this.transaction(node, work),
        pending: (task) => this.waitedFor.has(task),
        sleep: (ms) => this.time.sleep(ms),
      },
    );
    this.nodes.push(node);
  }

  /** There and back, with what may happen on the way. */
  private async statement(node: SimulatedNode, statement: Statement, values: unknown[]): Promise<unknown[]> {
    await this.way(node);
    const rows = applyStatement(this.model, statement.name, values);
    await this.way(node);
    return rows;
  }

  private async transaction(node: SimulatedNode, work: (db: Queryable) => Promise<unknown>): Promise<unknown> {
    await this.way(node);
    const effects: ((at: number) => Effect)[] = [];
    let commit: (() => string | null) | undefined;
    const connection = {
      query: async ({ name, values }: { name?: string; values: unknown[] }) => {
        await this.way(node);
        if (name !== 'task-settle') {
          effects.push(values[0] as (typeof effects)[number]);
          return { rows: [] };
        }
        // Whether it will be refused is known now, for the rows are locked; nothing is there until the commit.
        const reason = this.model.refusal(settleOf(values, this.model));
        commit = () => this.model.settle(settleOf(values, this.model));
        return { rows: [{ reason, retry_at_ms: null }] };
      },
    };
    const result = await work(connection as unknown as Queryable);
    // The rows are locked from the comparison on, so nothing comes between it and the commit.
    if (commit?.() === null) for (const effect of effects) this.done.push(effect(this.time.now));
    await this.way(node);
    return result;
  }

  /** One way of a statement: it takes its time, or ends in an outage. */
  private async way(node: SimulatedNode): Promise<void> {
    if (node.dead) await never;
    await this.time.sleep(this.draw.between(1, 10));
    if (this.fault(0.5)) await this.time.sleep(this.draw.between(0, this.draw.chance(0.3) ? 2 * this.ttlMs : 700));
    if (node.dead) await never;
    const { now } = this.time;
    const away = this.outages.some(([from, to]) => from <= now && now < to);
    if (!away && !this.fault(0.5)) return;
    // Refused at once, or nobody knows until the client's own limit.
    if (this.draw.chance(0.3)) await this.time.sleep(this.draw.between(0, 11_000));
    if (node.dead) await never;
    const passing: (string | undefined)[] = ['40001', '57014', '25006', '57P01'];
    const code = passing[Math.floor(this.draw.between(0, 8))];
    if (code !== undefined && code !== '57P01') throw Object.assign(new Error(`of ${code}`), { code });
    throw failure(ErrorType.StoreUnavailable, 'PostgreSQL does not answer');
  }

  private fail(what: string): void {
    this.broken ??= what;
  }

  /** Whether something goes wrong now. */
  private fault(share: number): boolean {
    return this.draw.next() < share * this.faultRate && this.time.now < this.calmFrom;
  }
}
