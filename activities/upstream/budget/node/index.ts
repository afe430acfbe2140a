/**
 * The budget of a node: everything that a worker needs to spend from upstreams with limits, as one service. Made by
 * `workers/parts.ts` where the config has such upstreams, and started before anything that spends.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Database } from '../../../lib/database';
import { errorOf } from '../../../lib/failures';
import { Listener } from '../../../lib/listener';
import { service, Services, type Service } from '../../../lib/service';
import { BUDGET_CHANNEL, purgeBuckets } from '../../store/budget';
import { forgetHeaders } from '../../store/headers';
import { BudgetMetrics, type Spent } from '../../telemetry';
import type { Clocks } from '../account';
import { Closings, payloadsOf } from './closings';
import { LedgerDesk } from './ledger-desk';
import { Renewals } from './renewal';
import { NodeSpender } from './spender';
import { LearnedHeaders } from './learned';

/** Rows that nobody needs are forgotten this often by each node, so many at a time. */
const PURGE_MS = 10 * 60_000;
const PURGE_ROWS = 1_000;

export interface NodeBudgetOptions {
  /** Its own, with connections that nobody else can take: two are enough. */
  database: Database;
  node: string;
  /** Nodes of one name share what is limited by address. */
  address: string;
  log: Logger;
  /** Gets the metrics; absent: nobody does. */
  registry?: Registry;
  /** Epoch seconds of the database. @default this machine's */
  now?: () => number;
  /** Seconds by which the database's clock is ahead of `now`, which never jumps. @default 0 */
  ahead?: () => number;
  /** For tests. */
  clocks?: Clocks;
}

/** Two clocks: the monotonic one of a suspended machine stands still, the other one may be set. */
const CLOCKS: Clocks = { monotonic: () => performance.now() / 1_000, wall: () => Date.now() / 1_000 };

export class NodeBudget implements Service {
  readonly spender: NodeSpender;
  readonly renewals: Renewals;
  private readonly closings: Closings;
  private readonly learned: LearnedHeaders;
  private readonly services: Services;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: NodeBudgetOptions) {
    const { database, node, address, log, clocks = CLOCKS } = options;
    const desk = new LedgerDesk(database, log, payloadsOf, () => clocks.monotonic());
    const metrics = options.registry && new BudgetMetrics(options.registry, () => this.spender.states());
    const now = options.now ?? ((): number => clocks.wall());
    const noted = metrics && ((spent: Spent): void => metrics.note(spent));
    const name = `${node}:${randomUUID()}`;
    this.spender = new NodeSpender(
      { clocks, now, ahead: options.ahead, process: name, address, noted },
      {
        mayAsk: (question) => this.learned.asks.may(question),
        urge: (bucket) => this.renewals.urge(bucket),
        tellClosing: (...closing) => this.closings.tell(...closing),
      },
    );
    this.closings = new Closings(desk, this.spender, () => clocks.monotonic());
    this.renewals = new Renewals(desk, this.spender, log);
    this.learned = new LearnedHeaders(database, this.spender, log, { name, clocks });
    this.services = new Services([
      service({ stop: () => Promise.resolve(this.spender.close()) }),
      this.learned,
      this.renewals,
      this.closings,
      new Listener(database, { channel: BUDGET_CHANNEL, heard: (payload) => this.closings.heard(payload), log }),
      service({ start: () => this.beginPurges(), stop: () => Promise.resolve(clearInterval(this.timer)) }),
    ]);
  }

  start(): Promise<void> {
    return this.services.start();
  }

  stop(): Promise<void> {
    return this.services.stop();
  }

  private beginPurges(): Promise<void> {
    this.timer = setInterval(() => void this.purge(), PURGE_MS * (0.5 + Math.random()));
    this.timer.unref();
    return Promise.resolve();
  }

  /** Never rejects. */
  async purge(): Promise<void> {
    const { database, log } = this.options;
    await database
      .transaction(
        async (db) => {
          await purgeBuckets(db, PURGE_ROWS);
          await forgetHeaders(db);
        },
        { statementTimeoutMs: 5_000, lockTimeoutMs: 500 },
      )
      .catch((thrown: unknown) => log.debug({ err: errorOf(thrown) }, 'old buckets could not be forgotten now'));
  }
}
