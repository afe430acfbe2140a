/** A pool's shift without a worker: real members, agendas and runs, under a clock that the test turns. */
import { pino } from 'pino';
import type { PoolClaim } from '../../activities/tracker/store/fence';
import { Lateness } from '../../activities/tracker/shift/lateness';
import type { Clock } from '../../activities/tracker/shift/clock';
import { NodeHolds } from '../../activities/tracker/shift/holds';
import type { OperationHost } from '../../activities/tracker/shift/host';
import { Ring } from '../../activities/tracker/shift/ring';
import { PoolShift } from '../../activities/tracker/shift/pool-shift';
import type { FreshnessRow, MemberRow } from '../../activities/tracker/store/members';
import type { TrackerRow } from '../../activities/tracker/store/trackers';
import { hashId } from '../../workflows/lib/hash';
import { slotOf } from '../../workflows/tracker/slots';
import { resolveConfig, type RunContext, type RunResult, type TrackerDefinition } from '../../exports';

export const log = pino({ level: 'silent' });
/** Some day; times of tests count from here. */
export const T0 = 1_700_000_000_000;

export class TestClock implements Pick<Clock, 'now' | 'ofMachine' | 'set' | 'toStore' | 'fromStore'> {
  constructor(public time = T0) {}
  now(): number {
    return this.time;
  }
  ofMachine(epochMs: number): number {
    return epochMs;
  }
  toStore(ms: number): number {
    return ms;
  }
  fromStore(ms: number): number {
    return ms;
  }
  set(): void {
    // The test turns it.
  }
}

interface KitError {
  id: string;
  error: Error;
}

export interface Kit {
  shift: PoolShift;
  clock: TestClock;
  tracker: TrackerRow;
  errors: KitError[];
  host: OperationHost;
  /** Moves the time on, a tick of 5 ms at a time, and lets promises settle in between. */
  pass(ms: number): Promise<void>;
}

export type Code = (context: RunContext) => Promise<RunResult> | RunResult;

/** A tracker of one operation, `look`, that runs this. */
export function looking(run: Code, over: Partial<TrackerDefinition['operations'][string]> = {}): TrackerDefinition {
  return { name: 't', operations: { look: { every: '1s', timeout: '200ms', run, ...over } } };
}

export function rowOf(definition: TrackerDefinition): TrackerRow {
  const { options } = resolveConfig({ trackers: [definition] }).trackers[0]!;
  return { name: definition.name, state: 'running', pools: 1, version: 1, options, gateOpen: null };
}

/** @param setup `beside`: on the same node as that one */
export function shiftOf(
  definition: TrackerDefinition,
  setup: {
    pool?: number;
    claim?: PoolClaim;
    token?: number;
    capacity?: number;
    threads?: number;
    clock?: TestClock;
    beside?: Kit;
    /** The row's, where they are not the definition's. */
    options?: TrackerRow['options'];
    since?: TrackerRow['since'];
    /** Keeps the limits of upstreams. */
    spender?: OperationHost['spender'];
  } = {},
): Kit {
  const clock = setup.beside?.clock ?? setup.clock ?? new TestClock();
  const errors: KitError[] = setup.beside?.errors ?? [];
  const tracker = { ...rowOf(definition), ...(setup.options && { options: setup.options }), since: setup.since };
  const host: OperationHost = setup.beside?.host ?? {
    clock: clock as unknown as Clock,
    holds: new NodeHolds(),
    spender: setup.spender,
    ring: new Ring(clock, { places: setup.capacity ?? 1_000, threads: setup.threads }),
    isolated: () => Promise.reject(new Error('no threads here')),
    onError: (error, _operation, id) => errors.push({ id, error }),
    entering: () => undefined,
    roundEnded: () => undefined,
  };
  const pool = setup.pool ?? 0;
  const shift = new PoolShift(
    {
      claim: setup.claim ?? { tracker: definition.name, pool, runId: 'run', shift: 1, attempt: 1, node: 'node' },
      fence: { token: setup.token ?? 1, rosterVersion: 0 },
      definition,
      host,
      log,
      latenessOf: () => new Lateness(clock.time),
      purse: setup.spender?.purse(16),
    },
    tracker,
  );
  const pass = async (ms: number): Promise<void> => {
    const until = clock.time + ms;
    while (clock.time < until) {
      clock.time = Math.min(until, clock.time + 5);
      host.ring.tick(clock.time);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { shift, clock, tracker, errors, host, pass };
}

let keys = 0;
export const member = (id: string, over: Partial<MemberRow> = {}): MemberRow => ({
  key: ++keys,
  id,
  removed: false,
  addedAt: T0,
  place: slotOf(hashId(id)),
  ...over,
});

export const freshness = (of: MemberRow, over: Partial<FreshnessRow> = {}): FreshnessRow => ({
  member: of.key,
  operation: 'look',
  fetchedAt: null,
  expiresAt: null,
  heldUntil: null,
  failedAt: null,
  etag: null,
  failures: 0,
  ...over,
});
