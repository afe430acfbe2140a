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

/** Until `stop` is called, which does not wait for a round that hangs. */
export function startPatrol(
  database: Database,
  temporal: TemporalLink,
  log: Logger,
  mended: Mended = () => undefined,
  everyMs = PATROL_MS,
): { stop: () => Promise<void> } {
  const holder = randomUUID();
  const stopping = new AbortController();
  let going: Promise<void> | undefined;

  const round = async (): Promise<void> => {
    const [began] = await database.rows<{ now: string }>(NOW);
    const mayGoOn = async (): Promise<boolean> =>
      !stopping.signal.aborted && (await database.rows(TAKE, [holder, LEASE])).length > 0;
    if (!(await mayGoOn())) return;
    // A round in a large cluster takes its time: whoever took over at half of it would begin at its beginning.
    const renewing = setInterval(() => void mayGoOn().catch(() => false), RENEW_MS);
    try {
      await patrol(database, temporal, log, { mayGoOn, signal: stopping.signal, mended });
    } finally {
      clearInterval(renewing);
      await database.rows(LEAVE, [holder, began!.now, PACE]);
    }
  };
  const timer = setInterval(() => {
    going ??= round()
      .catch((error: unknown) => log.debug({ err: errorOf(error) }, 'the patrol could not finish; it comes again'))
      .finally(() => (going = undefined));
  }, everyMs);
  return {
    stop: async () => {
      clearInterval(timer);
      stopping.abort();
      // Its requests to Temporal end by the signal; for its last words to PostgreSQL it has a moment.
      let timeUp: NodeJS.Timeout | undefined;
      const moment = new Promise<void>((resolve) => (timeUp = setTimeout(resolve, 500)));
      await Promise.race([going, moment]);
      clearTimeout(timeUp);
    },
  };
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
