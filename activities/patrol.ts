/**
 * Mends what was terminated by hand or lost with a Temporal server: every quarter of a minute one node compares what
 * should run with what does, and starts what is missing of trackers, buffers and jobs. Started by `workers/worker.ts`
 * on each node.
 *
 * A row with a time decides which node it is; no transaction is open meanwhile: a node that hangs or dies in its round
 * keeps the others from theirs for half a minute. Two at once do no harm.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { wakeMissingBuffers } from './buffer/wake';
import { errorOf } from './lib/failures';
import { wakeMissingJobs } from './job/wake';
import { wakeMissingPools } from './tracker/roster/wake';
import type { Database, Statement } from './lib/database';
import { Background } from './lib/service';
import type { TemporalLink } from './lib/temporal';

const PATROL_MS = 15_000;
/**
 * A part's requests to Temporal end after this long: a server that hangs keeps no node from its later rounds.
 * Milliseconds.
 */
const PART_MS = 120_000;
/** Seconds. A round that goes on for longer keeps it, as long as its process runs. */
const LEASE = 30;
const RENEW_MS = 10_000;
/**
 * The next round is due so long after this one began; a little less than the pace, for whoever comes by then. Seconds.
 */
const PACE = 14;

const TAKE: Statement = {
  name: 'patrol-take',
  text: `insert into longwatch.patrol as p (holder, free_at) values ($1, now() + make_interval(secs => $2))
         on conflict (only_one) do update set holder = excluded.holder, free_at = excluded.free_at
         where p.free_at <= now() or p.holder = excluded.holder
         returning 1`,
};
const LEAVE: Statement = {
  name: 'patrol-leave',
  text: `update longwatch.patrol set holder = null, free_at = $2::timestamptz + make_interval(secs => $3) where holder = $1`,
};
const NOW: Statement = { name: 'patrol-now', text: 'select now()::text as now' };

/** Told of a pool whose count of members was wrong. */
export type Mended = (tracker: string) => void;

const PARTS = [wakeMissingPools, wakeMissingBuffers, wakeMissingJobs];

/** Its rounds, until `stop`, which does not wait for one that hangs. */
export class Patrol extends Background {
  private readonly holder = randomUUID();
  private readonly ending = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private going: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly temporal: TemporalLink,
    private readonly log: Logger,
    private readonly mended: Mended = () => undefined,
    private readonly everyMs = PATROL_MS,
  ) {
    super();
  }

  protected open(): Promise<void> {
    this.timer = setInterval(() => {
      this.going ??= this.round()
        .catch((error: unknown) =>
          this.log.debug({ err: errorOf(error) }, 'the patrol could not finish; it comes again'),
        )
        .finally(() => (this.going = undefined));
    }, this.everyMs);
    return Promise.resolve();
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    this.ending.abort();
    // Its question to Temporal ends by the signal; for its last words to PostgreSQL it has a moment.
    let timeUp: NodeJS.Timeout | undefined;
    const moment = new Promise<void>((resolve) => (timeUp = setTimeout(resolve, 500)));
    await Promise.race([this.going, moment]);
    clearTimeout(timeUp);
  }

  private async round(): Promise<void> {
    const { database, holder, mended } = this;
    const { signal } = this.ending;
    const [began] = await database.rows<{ now: string }>(NOW);
    const mayGoOn = async (): Promise<boolean> =>
      !signal.aborted && (await database.rows(TAKE, [holder, LEASE])).length > 0;
    if (!(await mayGoOn())) return;
    // A round in a large cluster takes its time: whoever took over at half of it would begin at its beginning.
    const renewing = setInterval(() => void mayGoOn().catch(() => false), RENEW_MS);
    // A round that hangs is left alone by `stop`, and must not keep the process alive.
    renewing.unref();
    try {
      await patrol(database, this.temporal, this.log, { mayGoOn, signal, mended });
    } finally {
      clearInterval(renewing);
      await database.rows(LEAVE, [holder, began!.now, PACE]);
    }
  }
}

/** One round. A part that fails keeps none of the others from being mended; then the round fails with its error. */
export async function patrol(
  database: Database,
  temporal: TemporalLink,
  log: Logger,
  { mayGoOn = () => Promise.resolve(true), signal = new AbortController().signal, mended }: Partial<Round> = {},
): Promise<void> {
  const running = await temporal.within(signal, PART_MS, () => temporal.runningWorkflows());
  const failures: unknown[] = [];
  for (const part of PARTS) {
    if (!(await mayGoOn())) break;
    await temporal
      .within(signal, PART_MS, () => part(database, temporal, running, log, mended))
      .catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

interface Round {
  /** Asked before each part: whether the round is still this node's. */
  mayGoOn: () => Promise<boolean>;
  signal: AbortSignal;
  mended: Mended;
}
