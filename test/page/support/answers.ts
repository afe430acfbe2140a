/** Answers of the routes that pages ask beside the stream, over the things of `samples.ts`. */
import type { AuditRow } from '../../../client/audit';
import type { LeaseSummary } from '../../../client/durable/handle';
import type { FailedRowSummary, TickSummary } from '../../../client/job/ticks';
import type { Series } from '../../../client/series';
import type { Setting } from '../../../client/settings';
import type { Freshness, OldestMember } from '../../../client/tracker/freshness';
import type { FailingMember, MemberSummary } from '../../../client/tracker/lists';
import type { MemberDetails, PoolSummary } from '../../../client/tracker/members';
import type { Me } from '../../../http/page/lib/me';
import { letter, letterDetails, life, lifeDetails, mailLetter, memberId } from './letters';
import { at, MARKS, series } from './samples';
import type { Site } from './site';

export const ADMIN: Me = {
  name: 'ana',
  role: 'admin',
  byCookie: false,
  environment: {
    temporal: '127.0.0.1:7233',
    namespace: 'default',
    database: 'postgres://127.0.0.1:5432/longwatch',
    ui: 'http://127.0.0.1:8233',
  },
};

const times = <T>(many: number, make: (i: number) => T): T[] => Array.from({ length: many }, (_, i) => make(i));

const member = (i: number): MemberSummary => ({
  id: memberId(i),
  pool: i % 200,
  node: `worker-${1 + (i % 3)}`,
  addedAt: at(86_400_000),
  lastRunAt: at(700),
  failing: i % 40 === 7 ? ['online'] : [],
});

const failing = (i: number): FailingMember => ({
  id: memberId(7 + 40 * i),
  pool: 7,
  node: 'worker-2',
  operation: 'online',
  failures: 1 + (i % 9),
  error: i % 3 === 0 ? 'HttpError: 502 Bad Gateway' : 'TimeoutError: no answer within 10 s',
  failedAt: at(4_000 + i * 100),
  fetchedAt: i % 5 === 0 ? null : at(600_000),
  heldUntil: null,
});

const oldest = (i: number): OldestMember => ({
  id: memberId(7 + 40 * i),
  pool: 7,
  node: 'worker-2',
  operation: 'location',
  fetchedAt: at(40_000 - i * 1_000),
  ageMs: 40_000 - i * 1_000,
  failures: i % 2,
  error: i % 2 === 0 ? null : 'HttpError: 502 Bad Gateway',
  heldUntil: i === 3 ? at(-60_000) : null,
});

/** Ages as of a night with some trouble, the same each time. */
function freshness(pools: number): Freshness {
  const operations = [
    { name: 'location', everyMs: 1_000, enabled: true },
    { name: 'online', everyMs: 30_000, enabled: true },
    { name: 'wallet', everyMs: 600_000, enabled: true },
  ];
  return {
    operations,
    pools,
    cells: operations.flatMap(({ name, everyMs }, k) =>
      times(pools, (pool) => {
        const wave = 0.6 + 0.5 * Math.abs(Math.sin(pool * 0.37 + k));
        const factor = name === 'location' && pool >= 40 && pool < 52 ? 1.6 + (pool - 40) * 0.9 : wave;
        return {
          pool,
          node: `worker-${1 + (pool % 3)}`,
          operation: name,
          members: 500,
          never: pool === 44 ? 12 : 0,
          p50Ms: everyMs * factor * 0.5,
          p95Ms: everyMs * factor * 0.9,
          maxMs: everyMs * factor,
          lifetimes: factor,
          toldAt: at(4_000),
          toldMs: pool === 17 ? 90_000 : 4_000,
        };
      }),
    ),
  };
}

const pool = (i: number): PoolSummary => ({
  pool: i,
  members: 500,
  node: `worker-${1 + (i % 3)}`,
  onShift: i !== 17,
  shift: 41,
  attempt: 1,
  takenAt: at(3_600_000),
  crashes: i === 17 ? 3 : 0,
  quarantinedAt: i === 17 ? at(120_000) : null,
  lastError: i === 17 ? 'TypeError: cannot read properties of undefined' : null,
  unbegunSince: null,
  unbegunOn: null,
});

const details = (id: string): MemberDetails => ({
  id,
  tracker: 'characters',
  state: 'running',
  pool: 44,
  node: 'worker-2',
  addedAt: at(86_400_000),
  holds: [],
  life: {
    version: 41,
    stateBytes: 812,
    writtenAt: at(42_000),
    mail: { entries: 3, bytes: 911, oldestAt: at(1_200) },
    dead: 1,
    timers: [{ name: 'digest', at: at(-3_600_000), attempts: 0, strikes: 1 }],
    struckValues: [{ operation: 'location', changedAt: at(60_000), strikes: 2 }],
  },
  waits: [{ operation: 'wallet', bucket: 'esi/group:90000002', closed: false, since: at(9_000), until: at(-21_000) }],
  values: [
    {
      operation: 'location',
      value: { solarSystemId: 30_000_142, stationId: 60_003_760 },
      encodedBy: null,
      hidden: false,
      decodeError: null,
      fetchedAt: at(800),
      ageMs: 800,
      changedAt: at(3_600_000),
      expiresAt: at(-4_200),
      etag: '"a1b2"',
      heldUntil: null,
      nextAt: at(-4_200),
      failedAt: null,
      failures: 0,
      error: null,
    },
    {
      operation: 'online',
      value: { online: true, lastLogin: '2026-11-29T09:12:44Z' },
      encodedBy: null,
      hidden: false,
      decodeError: null,
      fetchedAt: at(610_000),
      ageMs: 610_000,
      changedAt: at(610_000),
      expiresAt: null,
      etag: null,
      heldUntil: at(-12_000),
      nextAt: at(-12_000),
      failedAt: at(18_000),
      failures: 4,
      error: 'HttpError: 502 Bad Gateway',
    },
  ],
});

const tick = (i: number): TickSummary => ({
  due: at(300_000 * (i + 1)),
  by: i === 6 ? 'hand' : 'schedule',
  elapsed: 1,
  skipped: i === 20 ? 2 : 0,
  startedAt: at(300_000 * (i + 1) - 100),
  endedAt: at(300_000 * (i + 1) - 28_000),
  rows: 1_000_000,
  chunks: 400,
  failed: i === 12 ? 3 : 0,
  ms: 26_000 + 4_000 * Math.abs(Math.sin(i)) + (i > 18 && i < 24 ? 40_000 : 0),
  longestMs: 84,
  roundTripP50Ms: 3,
  roundTripP99Ms: 12,
  band: i > 18 && i < 24 ? 'warning' : i % 5 === 0 ? 'good' : 'excellent',
  error: null,
});

const failedRow = (i: number): FailedRowSummary => ({
  key: [String(17 + i)],
  due: at(300_000),
  error: 'division by zero',
  code: '22012',
  attempts: 3,
  failedAt: at(290_000),
});

const SETTINGS: Setting[] = [
  { path: 'operations.location.every', value: '1s', compiled: 1_000, source: 'definition' },
  { path: 'operations.location.enabled', value: 'true', compiled: true, source: 'default' },
  { path: 'concurrency', value: '40', compiled: 40, source: 'set', configured: '20' },
  { path: 'retry.base', value: '1s', compiled: 1_000, source: 'default' },
];
/** Its members take messages. */
const RECEIVES: Setting = { path: 'receive.attempts', value: '8', compiled: 8, source: 'default' };

const act = (i: number): AuditRow => ({
  number: String(900 - i),
  at: at(60_000 * (i + 1)),
  actor: i % 2 === 0 ? 'ana' : 'deploy@ci-3',
  via: i % 2 === 0 ? 'http' : 'cli',
  what: i % 3 === 0 ? 'pause' : i % 3 === 1 ? 'set' : 'node drain',
  subject: i % 3 === 2 ? 'node/worker-3' : 'tracker/characters',
  before: i % 3 === 1 ? { 'operations.location.every': '1s' } : { state: 'running' },
  after: i % 3 === 1 ? { 'operations.location.every': '3s' } : { state: 'paused' },
  why: i % 4 === 0 ? 'the upstream is slow' : undefined,
  outcome: i === 5 ? 'unknown' : 'done',
});

const lease = (i: number): LeaseSummary => ({
  task: `0193c2f1/${i}`,
  activity: 'charge',
  workflow: `order-${100 + i}`,
  owner: 'worker-1',
  attempt: 1,
  resource: i % 2 === 0 ? null : `account ${i}`,
  heldMs: 1_200 + i,
  leftMs: 28_000 - i * 10,
});

/** @param many of each thing that a route lists */
export function answerAll(site: Site, many = 100, me: Me = ADMIN): void {
  const page = <T>(make: (i: number) => T, path: string, most = 100): { items: T[]; next: string | null } => {
    const query = new URLSearchParams(path.split('?')[1]);
    const from = Number(query.get('after') ?? 0);
    const size = Math.min(Number(query.get('limit') ?? most), many - from);
    return {
      items: times(Math.max(0, size), (i) => make(from + i)),
      next: from + size < many ? String(from + size) : null,
    };
  };
  site.answer('GET me', () => me);
  site.answer('GET trackers/characters/members', ({ path }) => page(member, path));
  site.answer('GET trackers/characters/members/', ({ path }) => {
    const [, , , id, part] = path.split('/').map(decodeURIComponent);
    return part === 'life' ? lifeDetails(id!) : details(id!);
  });
  site.answer('GET trackers/characters/failing', ({ path }) => page(failing, path, 50));
  site.answer('GET trackers/characters/oldest', () => ({ items: times(Math.min(20, many), oldest), next: null }));
  site.answer('GET trackers/characters/freshness', () => freshness(many === 0 ? 0 : Math.min(2_000, many * 2)));
  site.answer('GET trackers/characters/lives', ({ path }) => page(life, path));
  site.answer('GET trackers/characters/dead', ({ path }) => page(mailLetter, path));
  site.answer('GET trackers/characters/dead/', () => mailLetter(0));
  site.answer('GET trackers/characters/dead/count', () => ({ count: many }));
  site.answer('GET trackers/characters/pools', () => ({ items: times(Math.min(2_000, many * 2), pool), next: null }));
  site.answer('GET trackers/characters/errors', () => ({
    groups: [
      {
        operation: 'online',
        text: 'TimeoutError: no answer within # s',
        members: 1_804,
        example: { id: memberId(7), error: '', failedAt: null },
      },
      {
        operation: 'online',
        text: 'HttpError: 502 Bad Gateway',
        members: 610,
        example: { id: memberId(47), error: '', failedAt: null },
      },
    ].slice(0, many),
    looked: 2_414,
    complete: true,
  }));
  for (const list of ['trackers/characters', 'buffers/mail', 'jobs/stamina', 'upstreams/esi'])
    site.answer(`GET ${list}/config`, () => ({
      items: list.startsWith('trackers') ? [...SETTINGS, RECEIVES] : SETTINGS,
      next: null,
    }));
  site.answer('GET buffers/mail/dead', ({ path }) => page(letter, path));
  site.answer('GET buffers/mail/dead/', ({ path }) => letterDetails(path.split('/')[3]!));
  site.answer('GET buffers/mail/dead/count', () => ({ count: many }));
  site.answer('GET buffers/mail/dead/errors', () => ({
    groups: [
      {
        text: 'SmtpError: # mailbox unavailable',
        letters: 27,
        example: { id: '0-4711', error: '' },
        firstDiedAt: at(3_600_000),
        lastDiedAt: at(60_000),
      },
      {
        text: 'TimeoutError: no answer within # s',
        letters: 13,
        example: { id: '1-4712', error: '' },
        firstDiedAt: at(3_600_000),
        lastDiedAt: at(120_000),
      },
    ].slice(0, many),
    looked: many,
    complete: true,
  }));
  site.answer('GET jobs/stamina/ticks', ({ path }) => page(tick, path));
  site.answer('GET jobs/stamina/failed-rows', ({ path }) => page(failedRow, path));
  site.answer('GET jobs/stamina/explain', () => ({
    table: 'game.character',
    key: ['id'],
    statement: 'update game.character set stamina = least(max_stamina, stamina + $1) where id between $2 and $3',
    plan: [
      'Update on character  (cost=0.43..812.31 rows=2500 width=46)',
      '  ->  Index Scan using character_pkey on character',
    ],
    warnings: ['an index reads the column stamina, so no update of it is HOT: character_stamina'],
  }));
  site.answer('GET upstreams', () => ({ items: ['esi', 'sso'].slice(0, many), next: null }));
  site.answer('GET buckets', () => ({
    items: site.state.buckets.filter(({ upstream }) => upstream === 'esi'),
    next: null,
  }));
  site.answer('GET compensations', () => ({
    items: times(Math.min(2, many), (i) => ({
      task: `0193c2f0/${i}`,
      activity: 'refund',
      saga: `order-${17 + i}`,
      target: `0193c2f0/${i + 4}`,
      state: 'failed',
      attempts: 12,
      failedAt: at(3_600_000),
      error: 'PaymentError: the account is closed',
    })),
    next: null,
  }));
  site.answer('GET leases', ({ path }) => page(lease, path));
  site.answer('GET audit', ({ path }) => page(act, path));
  const part = (asked: string, at: number): string => decodeURIComponent(asked.split('?')[0]!.split('/')[at] ?? '');
  site.answer('GET history/', ({ path }) => {
    const [kind, name] = [part(path, 1) as Series['kind'], part(path, 2)];
    if (name !== '') return series(kind, name);
    const asked = new URLSearchParams(path.split('?')[1]).get('names');
    const names = asked === null ? ['esi/errors', 'esi/group'] : (JSON.parse(asked) as string[]);
    return { items: many === 0 ? [] : names.map((each) => series(kind, each)), next: null };
  });
  site.answer('GET marks', () => ({ items: many === 0 ? [] : MARKS, next: null }));
}
