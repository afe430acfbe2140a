/**
 * A simulated world of leases: some nodes with Longwatch's real code (`execute.ts`, `leases.ts`, `transaction.ts`),
 * rows as a model (`lease-model.ts`), a Temporal that calls again, and whatever goes wrong: answers that are late or
 * lost, outages, statements that hang, nodes that die or that Temporal loses sight of, code that fails. One history is
 * made by its seed. The promises are checked while it goes on and at its end; `lease-world.test.ts` lives through
 * thousands.
 */
import { pino } from 'pino';
import type { QueryResultRow } from 'pg';
import { execute } from '../../activities/durable/execute';
import type { Call, DurableServices } from '../../activities/durable/call';
import { hashOf, type KeyWaiter } from '../../activities/durable/keys';
import { LeaseKeeper } from '../../activities/durable/leases';
import { DurableTelemetry } from '../../activities/durable/telemetry';
import { Transactions } from '../../activities/durable/transaction';
import { failure } from '../../activities/lib/failures';
import type { Database, Queryable, Statement } from '../../activities/lib/database';
import type { ActivityContext } from '../../config/define/activity';
import { compensationOf, type Envelope } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { VirtualTime } from '../support/virtual-time';
import { LeaseModel, type SettleInput } from './lease-model';

const log = pino({ level: 'silent' });
const never = new Promise<never>(() => undefined);
const ENOUGH_MS = 6 * 3_600_000;

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One call of a workflow. */
interface Watch {
  /** When its last attempt began. */
  at: number;
  givenUp: boolean;
  /** Tells the attempts at their next heartbeat that nobody waits for them. */
  hear: (() => void)[];
}

/** The things that a workflow did and saw. */
interface Order {
  name: string;
  run: string;
  key: string;
  /** The task whose effect it relies on. */
  relies?: string;
  end: 'open' | 'shipped' | 'failed' | 'taken back' | 'stuck';
}

interface Run {
  task: string;
  groups: string[];
  used: number;
}

export class LeaseWorld {
  readonly time = new VirtualTime();
  private readonly random: () => number;
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
  private readonly done: { task: string; what: 'pay' | 'undo'; target?: string; at: number }[] = [];
  private readonly runs: Run[] = [];
  private readonly active = new Set<Run>();
  private readonly waitedFor = new Set<string>();
  /** Nodes that died, and those that Temporal lost sight of: these use attempts. */
  private crashes = 0;
  private broken: string | undefined;

  constructor(readonly seed: number) {
    this.random = randomOf(seed);
    this.inTx = this.chance(0.5);
    this.ttlMs = Math.round(this.between(300, 3_000));
    this.attempts = 1 + Math.floor(this.between(0, 3));
    this.resource = this.chance(0.3);
    this.calmFrom = this.between(2_000, 30_000);
    this.faultRate = this.chance(0.3) ? 0 : this.between(0.01, 0.25);
    for (let left = Math.floor(this.between(0, 3)); left > 0; left--) {
      const from = this.between(0, this.calmFrom);
      this.outages.push([from, from + this.between(10, 4 * this.ttlMs)]);
    }
    for (let index = 0; index < 2 + Math.floor(this.between(0, 2)); index++) this.addNode();
  }

  /** @throws with the seed when a promise is broken. */
  async live(): Promise<void> {
    this.time.install();
    try {
      const orders = 2 + Math.floor(this.between(0, 5));
      const keys = 1 + Math.floor(this.between(0, 2));
      let left = orders;
      for (let index = 0; index < orders; index++) {
        const order: Order = {
          name: `order ${index}`,
          run: `r${index}`,
          key: `key ${Math.floor(this.between(0, keys))}`,
          end: 'open',
        };
        this.orders.push(order);
        void this.time
          .sleep(this.chance(0.5) ? this.between(0, 50) : this.between(0, 20_000))
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
        this.checkEnd();
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
    const patience = this.chance(0.25) ? this.time.sleep(this.between(5, 4 * this.ttlMs)) : never;
    const paid = await Promise.race([
      this.drive(this.payCall(order, run), began),
      patience.then(() => 'given up' as const),
    ]);
    if (paid === 'given up') {
      began.givenUp = true;
      this.waitedFor.delete(`${run}/pay`);
      for (const hear of began.hear) void this.time.sleep(this.between(1, 3_000)).then(hear);
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
    await this.time.sleep(this.between(0, 5_000));
    if (this.chance(0.4)) {
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
        await this.time.sleep(this.between(1, 20));
        const node = this.nodes[Math.floor(this.random() * this.nodes.length)]!;
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
        void this.time.sleep(this.between(1, 2 * this.ttlMs)).then(() => {
          lost();
          return this.time.sleep(this.between(0, 500)).then(() => controller.abort());
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
      await this.time.sleep(this.between(500, 10_000));
      if (this.time.now >= this.calmFrom || !this.chance(0.5)) continue;
      this.crashes += 1;
      this.nodes.splice(Math.floor(this.random() * this.nodes.length), 1)[0]!.die();
      this.addNode();
    }
  }

  // ── What runs ──

  private payCall(order: Order, run: string): Call {
    const task = `${run}/pay`;
    const groups = [`task ${task}`, `key ${order.key}`, ...(this.resource ? ['resource'] : [])];
    return {
      ...this.callOf(task, 'pay', order.name, order.key, this.attempts),
      resource: this.resource ? 'account' : null,
      undo: true,
      run: this.code({ task, groups }, (at) => ({ task, what: 'pay', at }), { paid: task }),
    };
  }

  private undoCall(order: Order, run: string, target: string): Call {
    const task = `${run}/undo`;
    const activity = compensationOf('pay');
    return {
      ...this.callOf(task, activity, order.name, target, 60),
      details: { saga: order.name, target, taskQueue: 'q', input: null },
      run: this.code(
        { task, groups: [`task ${task}`, `task ${target}`] },
        (at) => ({ task, what: 'undo', target: this.model.tasks.get(task)?.target ?? target, at }),
        'done',
      ),
    };
  }

  private callOf(task: string, activity: string, workflow: string, keyText: string, attempts: number): Call {
    const kind = activity === 'pay' ? ('activity' as const) : ('compensation' as const);
    const [run, externalId] = task.split('/') as [string, string];
    return {
      subject: { workflow, run, task, activity, externalId, kind, key: keyText },
      options: {
        timeoutMs: 60_000,
        retry: { attempts, backoff: 'exponential', baseMs: 100, capMs: 2_000, jitter: false },
        lease: { ttlMs: this.ttlMs, renewMs: this.ttlMs / 3 },
        keepMs: 1e9,
        keepFailure: kind === 'compensation',
        otherInput: 'tell',
      },
      key: { text: keyText, hash: hashOf(keyText) },
      fingerprint: null,
      resource: null,
      details: null,
      undo: false,
      run: () => undefined,
    };
  }

  /**
   * The user's code: takes its time, stops at its signal, may fail; its effect is in the transaction or happens at
   * once.
   */
  private code(
    who: Omit<Run, 'used'>,
    effect: (at: number) => { task: string; what: 'pay' | 'undo'; target?: string; at: number },
    result: unknown,
  ): Call['run'] {
    return async (context: ActivityContext) => {
      const node = (context as unknown as { node: SimulatedNode }).node;
      const run: Run = { ...who, used: context.attempt };
      this.begin(run);
      const end = () => this.active.delete(run);
      context.signal.addEventListener('abort', end, { once: true });
      node.onDeath(end);
      try {
        const steps = Math.floor(this.between(0, 4));
        for (let step = 0; step <= steps; step++) {
          await this.time.sleep(this.chance(0.8) ? this.between(0, 30) : this.between(0, 2 * this.ttlMs));
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
      `node-${this.nodes.length}-${Math.floor(this.time.now)}-${this.random()}`,
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
    const rows = this.apply(statement.name, values);
    await this.way(node);
    return rows;
  }

  private async transaction(node: SimulatedNode, work: (db: Queryable) => Promise<unknown>): Promise<unknown> {
    await this.way(node);
    const effects: ((at: number) => LeaseWorld['done'][number])[] = [];
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
    await this.time.sleep(this.between(1, 10));
    if (this.fault(0.5)) await this.time.sleep(this.between(0, this.chance(0.3) ? 2 * this.ttlMs : 700));
    if (node.dead) await never;
    const { now } = this.time;
    const away = this.outages.some(([from, to]) => from <= now && now < to);
    if (!away && !this.fault(0.5)) return;
    // Refused at once, or nobody knows until the client's own limit.
    if (this.chance(0.3)) await this.time.sleep(this.between(0, 11_000));
    if (node.dead) await never;
    const passing: (string | undefined)[] = ['40001', '57014', '25006', '57P01'];
    const code = passing[Math.floor(this.between(0, 8))];
    if (code !== undefined && code !== '57P01') throw Object.assign(new Error(`of ${code}`), { code });
    throw failure(ErrorType.StoreUnavailable, 'PostgreSQL does not answer');
  }

  private apply(name: string, values: unknown[]): unknown[] {
    if (name === 'task-take') return [this.take(values)];
    if (name === 'task-settle') return [{ reason: this.model.settle(settleOf(values, this.model)), retry_at_ms: 0 }];
    if (name === 'task-renew') {
      const [owner, tasks, attempts, ttls] = values as [string, string[], number[], number[]];
      return this.model.renew(
        owner,
        tasks.map((task, index) => ({ task, attempt: attempts[index]!, ttlMs: ttls[index]! })),
      );
    }
    if (name === 'task-stopped') this.model.stopped(...(values as [string, string, number]));
    if (name === 'task-not-started') this.model.notStarted(...(values as [string, string, number]));
    return [];
  }

  private take(values: unknown[]): unknown {
    const [task, activity, kind, workflow, run, , owner, ttlMs, attempts, resource, key, , keepFailure] =
      values as TakeValues;
    const [, , , , , , , , , , , , , , , , undo, saga, target, , , call] = values as TakeValues;
    const said = this.model.take({
      ...{ task, activity, kind, workflow, run, owner, ttlMs, attempts, resource, key, keepFailure },
      ...{ fingerprint: null, refuse: false, undo, saga, target, call },
    });
    return {
      ...{ outcome: said.outcome, source: said.source, o_attempt: said.attempt, o_used: said.used, o_token: 1 },
      ...{
        o_owner: said.owner,
        wait_ms: said.waitMs,
        o_result: said.result,
        o_error: said.error,
        o_run: null,
        o_other: said.other,
      },
    };
  }

  // ── What must hold ──

  private checkEnd(): void {
    for (const node of this.nodes) {
      if (node.services.leases.size > 0)
        this.fail(`${node.services.owner} still keeps ${node.services.leases.size} leases`);
    }
    const count = (what: 'pay' | 'undo', task: string) =>
      this.done.filter((one) => one.what === what && (one.target ?? one.task) === task).length;
    for (const { task, kind, state, madeBy } of this.model.tasks.values()) {
      const ran = this.runs.filter((run) => run.task === task).length;
      if (kind === 'activity' && !this.inTx && ran > this.attempts)
        this.fail(`${task} has run ${ran} times with ${this.attempts} attempts`);
      // Effect and result are there together, or neither is.
      const paid = count('pay', task);
      if (this.inTx && kind === 'activity' && paid !== (state === 'completed' && madeBy === null ? 1 : 0)) {
        this.fail(`${task} is ${state}, and was paid ${paid} times`);
      }
    }
    // Whatever the database did meanwhile: who has failed has been run. If two have one key, a call whose answer is
    // under way for longer than its lease looks like a crash to the other one, who takes the key over with the attempt
    // that it has used.
    for (const { name, key, end } of this.orders) {
      const ran = this.runs.some(({ groups }) => groups.includes(`key ${key}`));
      const alone = this.orders.filter((order) => order.key === key).length === 1;
      if (end === 'failed' && !ran && alone && this.crashes === 0) this.fail(`${name} has failed, and nothing has run`);
    }
    for (const { task } of this.done.filter(({ what }) => what === 'pay')) {
      const users = this.orders.filter(
        ({ relies, run }) => relies === task || this.model.tasks.get(`${run}/pay`)?.madeBy === task,
      );
      const undone = count('undo', task);
      if (this.inTx && undone > 1) this.fail(`${task} was taken back ${undone} times`);
      const before = this.done.find((one) => one.what === 'undo' && one.target === task);
      const late = this.done.find((one) => one.what === 'pay' && one.task === task && before && one.at > before.at);
      if (this.inTx && late) this.fail(`${task} was paid after it was taken back`);
      const shipped = users.find(({ end }) => end === 'shipped');
      if (shipped && undone > 0) this.fail(`${shipped.name} has shipped, and ${task} was taken back`);
      const all = users.length > 0 && users.every(({ end }) => end === 'taken back');
      if (all && undone === 0) this.fail(`${task} was not taken back, though all that rely on it failed`);
    }
  }

  private fail(what: string): void {
    this.broken ??= what;
  }

  private between(from: number, to: number): number {
    return from + this.random() * (to - from);
  }

  private chance(share: number): boolean {
    return this.random() < share;
  }

  /** Whether something goes wrong now. */
  private fault(share: number): boolean {
    return this.random() < share * this.faultRate && this.time.now < this.calmFrom;
  }
}

interface Surroundings {
  rows: (statement: Statement, values: unknown[]) => Promise<unknown[]>;
  transaction: (work: (db: Queryable) => Promise<unknown>) => Promise<unknown>;
  pending: (task: string) => boolean;
  sleep: (ms: number) => Promise<void>;
}

/** The services of one worker. */
class SimulatedNode {
  readonly services: DurableServices;
  dead = false;
  private readonly mourners: (() => void)[] = [];

  constructor(owner: string, around: Surroundings) {
    const database = {
      rows: <R extends QueryResultRow>(statement: Statement, values: unknown[] = []) =>
        around.rows(statement, values) as Promise<R[]>,
      transaction: around.transaction,
    } as unknown as Database;
    const leases = new LeaseKeeper(database, owner, log);
    const waiter = { wait: (_key: unknown, ms: number) => around.sleep(Math.max(1, Math.min(1_000, ms))) };
    this.services = {
      ...{ owner, database, leases, log },
      transactions: new Transactions(database, 10),
      waiter: waiter as unknown as KeyWaiter,
      telemetry: new DurableTelemetry(log, undefined, () => leases.size),
      isCurrent: () => around.sleep(5).then(() => true),
      isPending: (_workflow, run, activity) => around.sleep(5).then(() => around.pending(`${run}/${activity}`)),
      isRunning: () => Promise.resolve(true),
    };
  }

  onDeath(then: () => void): void {
    this.mourners.push(then);
  }

  die(): void {
    this.dead = true;
    this.services.leases.close();
    for (const then of this.mourners) then();
  }
}

/** The parameters of `settle_task`, by their places. */
type SettleValues = [
  ...[task: string, activity: string, workflow: string, run: string, owner: string, attempt: number, token: number],
  ...[to: SettleInput['to'], result: string | null, error: string | null, retryMs: number, keyHash: Buffer | null],
  ...[keepFailure: boolean, retentionMs: number, unused: boolean, strict: boolean, byReference: boolean],
];
/** And of `take_task`. */
type TakeValues = [
  ...[task: string, activity: string, kind: 'activity' | 'compensation', workflow: string, run: string],
  ...[endedRun: string | null, owner: string, ttlMs: number, attempts: number, resource: string | null],
  ...[
    key: string | null,
    keyHash: Buffer | null,
    keepFailure: boolean,
    retentionMs: number,
    fingerprint: Buffer | null,
  ],
  ...[
    refuse: boolean,
    undo: boolean,
    saga: string | null,
    target: string | null,
    taskQueue: string | null,
    input: string | null,
    call: string,
  ],
];

function settleOf(values: unknown[], model: LeaseModel): SettleInput {
  const [task, activity, , run, owner, attempt, , to, result, error, retryMs] = values as SettleValues;
  const [, , , , , , , , , , , , keepFailure, , unused, strict] = values as SettleValues;
  const stored = error === null ? null : (JSON.parse(error) as SettleInput['error']);
  const key = model.tasks.get(task)?.key ?? null;
  return { task, activity, run, owner, attempt, to, result, error: stored, retryMs, key, keepFailure, unused, strict };
}
