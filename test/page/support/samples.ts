/** Things of the library's own shapes, as its API answers them, for the tests of the page. */
import type { BucketSummary } from '../../../client/budget';
import { summarize, type BufferSummary } from '../../../client/buffer/status';
import type { ClusterReport, NodeReport } from '../../../client/cluster/nodes';
import type { Diagnosis } from '../../../client/doctor/doctor';
import type { Mark } from '../../../client/marks';
import type { Series } from '../../../client/series';
import type { JobSummary } from '../../../client/job/status';
import type { OperationSummary, TrackerSummary } from '../../../client/status';
import type { State } from '../../../http/page/lib/state';
import type { ShardStatus } from '../../../workflows/buffer/contract';

/** The moment of all samples: pictures of them are the same each time. */
export const MOMENT = Date.parse('2026-11-29T12:00:00.000Z');
export const at = (agoMs: number): string => new Date(MOMENT - agoMs).toISOString();

export function operation(name: string, more: Partial<OperationSummary> = {}): OperationSummary {
  return {
    name,
    everyMs: 1_000,
    enabled: true,
    fetched: 1_204_311,
    failed: 84,
    skipped: 0,
    stale: 0,
    staleExact: true,
    lastRoundMs: 212,
    lateP50Ms: 3,
    lateP99Ms: 14,
    ...more,
  };
}

export function tracker(name: string, more: Partial<TrackerSummary> = {}): TrackerSummary {
  return {
    name,
    state: 'running',
    members: 100_000,
    pools: 200,
    poolsOnShift: 200,
    quarantined: 0,
    unbegun: 0,
    paused: false,
    gate: null,
    operations: [
      operation('location'),
      operation('wallet', { everyMs: 600_000, fetched: 48_112, failed: 3, lateP50Ms: 41, lateP99Ms: 380 }),
    ],
    holds: [],
    heldBack: [],
    ...more,
  };
}

function shard(buffer: string, number: number, more: Partial<ShardStatus> = {}): ShardStatus {
  return {
    buffer,
    shard: number,
    state: 'running',
    accepted: 250_310,
    done: 250_100,
    pending: 180,
    running: 20,
    dead: 10,
    merged: 0,
    dropped: 0,
    inMemory: 120,
    stored: 40,
    putOff: 20,
    bytes: 64_120,
    batches: 2,
    spilling: false,
    shrunk: false,
    atMinimum: false,
    learnedSize: null,
    failuresInRow: 0,
    userState: null,
    stateVersion: 0,
    lastError: null,
    runs: 12_500,
    ...more,
  };
}

export function buffer(name: string, more: Partial<BufferSummary> = {}): BufferSummary {
  const shards = [0, 1, 2, 3].map((number) => shard(name, number));
  return { ...summarize(name, 'running', shards, 300), ...more };
}

export function job(name: string, more: Partial<JobSummary> = {}): JobSummary {
  return {
    name,
    kind: 'regen',
    state: 'running',
    schedule: { everyMs: 300_000 },
    open: { due: at(12_000), elapsed: 1, rows: 410_000, share: 0.41, node: 'worker-2', error: null },
    last: {
      due: at(312_000),
      endedAt: at(284_000),
      rows: 1_000_000,
      failed: 0,
      ms: 28_100,
      band: 'good',
      error: null,
    },
    failedRows: 0,
    claimed: 0,
    ...more,
  };
}

export function bucket(name: string, more: Partial<BucketSummary> = {}): BucketSummary {
  const [upstream = 'esi', rest = ''] = name.split('/');
  const [limit = '', key = ''] = rest.split(':');
  return {
    bucket: name,
    upstream,
    limit,
    key,
    shape: 'floating',
    tokens: 1_800,
    windowMs: 900_000,
    remaining: 1_420,
    spent: 380,
    held: 24,
    othersPerSecond: 0,
    nodes: [{ node: 'worker-1', wants: 2.1, has: 12 }],
    closedUntil: null,
    closedMs: 0,
    closedReason: null,
    at: at(1_000),
    ...more,
  };
}

export function node(name: string, more: Partial<NodeReport> = {}): NodeReport {
  return {
    name,
    host: 'db-7',
    pid: 4_711,
    version: '0.1.0',
    labels: [],
    address: null,
    metricsUrl: 'http://db-7:9464/metrics',
    startedAt: at(86_400_000),
    seenAt: at(600),
    alive: true,
    ended: false,
    drained: false,
    drainedAt: null,
    drainedUntil: null,
    drainedFor: [],
    target: null,
    weight: 1,
    pools: 67,
    members: 33_412,
    load: 34_100,
    share: 33_900,
    poollessSince: null,
    keeps: ['characters'],
    use: {
      eventLoop: 0.41,
      lagMs: 12,
      cpu: 0.6,
      rssBytes: 412e6,
      heapBytes: 210e6,
      heapLimitBytes: 2_096e6,
      members: 33_412,
      share: 33_900,
      health: 1,
      trust: 1,
      storeRefusedMs: null,
      temporalRefusedMs: null,
      lacks: [],
      stuck: 0,
      failing: { pools: 0, example: null },
      minute: {
        lateMs: 14,
        fetched: 2_004_000,
        failed: 12,
        restarts: 0,
        declined: 0,
        redirected: 0,
        moved: 1,
        fenced: 0,
      },
    },
    verdict: { level: 'good', word: 'ok', text: 'keeps its share' },
    ...more,
  };
}

export function cluster(nodes: NodeReport[]): ClusterReport {
  return {
    nodes,
    heartbeats: [{ tracker: 'characters', wantedMs: 5_000, timeoutMs: 5_000, isOverBudget: false }],
    wantedNodes: nodes.length,
  };
}

const WELL: Diagnosis = { findings: [], unknown: [], checked: 27 };

export function nothing(): State {
  return {
    at: at(0),
    status: { trackers: [], jobs: [], buffers: [], nodes: [] },
    cluster: cluster([]),
    doctor: WELL,
    buckets: [],
  };
}

/** A day of some trouble: each kind of thing is there, and some are wrong. */
export function busy(): State {
  const characters = tracker('characters', {
    quarantined: 1,
    poolsOnShift: 199,
    operations: [
      operation('location', { lateP99Ms: 3_100, stale: 214 }),
      operation('online', { everyMs: 30_000, fetched: 310_020, failed: 12_011, lateP50Ms: 22, lateP99Ms: 95 }),
      operation('wallet', { everyMs: 600_000, fetched: 48_112, failed: 3, lateP50Ms: 41, lateP99Ms: 380 }),
      operation('assets', {
        everyMs: 3_600_000,
        enabled: false,
        fetched: 0,
        failed: 0,
        lateP50Ms: null,
        lateP99Ms: null,
      }),
    ],
  });
  return {
    at: at(0),
    status: {
      trackers: [characters, tracker('corporations', { members: 1_240, pools: 4, poolsOnShift: 4, state: 'paused' })],
      jobs: [job('stamina'), job('expired', { kind: 'sweep', open: null, failedRows: 12 })],
      buffers: [buffer('mail'), buffer('killmails', { dead: 0 })],
      nodes: [],
    },
    cluster: cluster([
      node('worker-1'),
      node('worker-2', { pools: 66, members: 33_100 }),
      node('worker-3', {
        drained: true,
        drainedAt: at(600_000),
        pools: 3,
        members: 1_500,
        verdict: { level: 'note', word: 'drained', text: 'is drained, and still keeps 3 pools' },
      }),
    ]),
    doctor: {
      findings: [
        {
          check: 'quarantined',
          severity: 'problem',
          what: 'pool 17 of characters is in quarantine: TypeError: cannot read properties of undefined',
          next: 'npx longwatch resume characters',
        },
        {
          check: 'stale',
          severity: 'problem',
          what: '214 of 100,000 values of characters.location are older than three times what they may be (every 1 s)',
          next: 'npx longwatch status characters',
        },
        {
          check: 'late',
          severity: 'notice',
          what: 'one in a hundred runs of characters.location began 3.1 s late, and its interval is 1 s',
          next: 'give it more concurrency, a longer interval or another worker',
        },
        {
          check: 'paused',
          severity: 'notice',
          what: 'corporations is paused',
          next: 'npx longwatch resume corporations',
        },
        {
          check: 'dead-letters',
          severity: 'notice',
          what: 'buffer mail has 40 dead letters',
          next: 'npx longwatch dead list mail',
        },
      ],
      unknown: [],
      checked: 27,
    },
    buckets: [
      bucket('esi/errors:', {
        tokens: 100,
        remaining: 0,
        windowMs: 60_000,
        closedMs: 41_000,
        closedUntil: at(-41_000),
        closedReason: 'the upstream answered 420',
      }),
      bucket('esi/group:90000001'),
      bucket('esi/group:90000002', { remaining: 90 }),
      bucket('sso/logins:10.0.0.7', { tokens: null, remaining: null, windowMs: null }),
    ],
  };
}

/** An hour of a thing's history, the same each time. */
export function series(kind: Series['kind'], name: string): Series {
  const points = 60;
  const times = Array.from({ length: points }, (_, i) => MOMENT - (points - i) * 60_000);
  const wave = (mean: number, swing: number, by: number): (number | null)[] =>
    times.map((_, i) =>
      i > 20 && i < 24 ? null : Math.max(0, mean + swing * Math.sin(i / by) + (i > 44 && i < 50 ? 2 * swing : 0)),
    );
  const names = {
    operation: ['fetched', 'lateMaxMs', 'lateP95Ms', 'ageMaxMs', 'ageP95Ms', 'failed'],
    buffer: ['accepted', 'done', 'pendingMost', 'running', 'deadMost'],
    job: ['ticks', 'rows', 'failed', 'ms'],
    bucket: ['spent', 'remaining', 'tokens', 'closedMost'],
    node: ['pools', 'eventLoop', 'cpu', 'lateMsMost', 'rssBytes'],
  }[kind];
  const figures = Object.fromEntries(
    names.map((figure, i) => [
      figure,
      ['eventLoop', 'cpu'].includes(figure) ? wave(0.4, 0.1, 5) : wave(40_000 / 10 ** i, 4_000 / 10 ** i, 4 + i),
    ]),
  );
  return { kind, name, stepMs: 60_000, at: times, seconds: times.map(() => 60), figures };
}

export const MARKS: Mark[] = [
  { at: MOMENT - 2_400_000, kind: 'restart', text: 'node worker-2', subject: 'node/worker-2', actor: null },
  { at: MOMENT - 960_000, kind: 'act', text: 'set', subject: 'tracker/characters', actor: 'ana' },
  { at: MOMENT - 300_000, kind: 'start', text: 'node worker-3', subject: 'node/worker-3', actor: null },
];
