/**
 * Everything that the library does has an address. The table names every public member of its handles: the compiler
 * refuses it where one was added, and the test where no route says that it is that one.
 */
import type { BudgetHandle } from '../../client/budget';
import type { DeadLetters } from '../../client/buffer/dead';
import type { BufferHandle } from '../../client/buffer/handle';
import type { NodeHandle } from '../../client/cluster/node';
import type { DurableHandle } from '../../client/durable/handle';
import type { JobHandle } from '../../client/job/handle';
import type { MemberDeadLetters } from '../../client/member/dead';
import type { MemberHandle } from '../../client/member/handle';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import type { UpstreamHandle } from '../../client/upstreams';
import { ROUTES } from '../../http/routes/all';

/** It has a route; or the reason why it has none. */
type Table<Handle> = Record<keyof Handle, 'route' | { none: string }>;

const HANDLE = { none: 'it only makes a handle' };
const NAME = { none: 'it is a part of the address' };
const DECLARED = { none: 'its options are compiled from a config module, which a server of its own does not have' };

const longwatch: Table<Longwatch> = {
  as: { none: 'each caller is one already' },
  tracker: HANDLE,
  job: HANDLE,
  buffer: HANDLE,
  node: HANDLE,
  unit: HANDLE,
  upstream: HANDLE,
  durable: HANDLE,
  budget: HANDLE,
  once: { none: 'every POST takes an Idempotency-Key' },
  environment: { none: '/me says it' },
  close: { none: 'the connection is the server’s own' },
  kindOf: 'route',
  now: 'route',
  jobs: 'route',
  trackers: 'route',
  bufferNames: 'route',
  status: 'route',
  replica: { none: '/status says it' },
  doctor: 'route',
  count: 'route',
  nodes: 'route',
  previewRebalance: 'route',
  rebalance: 'route',
  upstreams: 'route',
  audit: 'route',
  auditPage: 'route',
  holds: 'route',
  workersPoll: 'route',
  series: 'route',
  allSeries: 'route',
  seriesPage: 'route',
  marks: 'route',
};
const tracker: Table<TrackerHandle> = {
  name: NAME,
  member: HANDLE,
  lives: 'route',
  dead: HANDLE,
  declare: DECLARED,
  options: 'route',
  add: 'route',
  remove: 'route',
  list: 'route',
  members: 'route',
  failing: 'route',
  errors: 'route',
  freshness: 'route',
  oldest: 'route',
  next: 'route',
  everHadMembers: 'route',
  pools: 'route',
  poolsPage: 'route',
  show: 'route',
  count: 'route',
  where: 'route',
  alive: 'route',
  holds: 'route',
  openHolds: 'route',
  refetch: 'route',
  status: 'route',
  reconcile: 'route',
  move: 'route',
  crash: 'route',
  start: 'route',
  stop: 'route',
  pause: 'route',
  resume: 'route',
  set: 'route',
  config: 'route',
};
const buffer: Table<BufferHandle> = {
  name: NAME,
  declare: DECLARED,
  dead: HANDLE,
  push: 'route',
  flush: 'route',
  status: 'route',
  start: 'route',
  stop: 'route',
  pause: 'route',
  resume: 'route',
  set: 'route',
  config: 'route',
};
const dead: Table<DeadLetters> = {
  list: 'route',
  page: 'route',
  count: 'route',
  byError: 'route',
  show: 'route',
  retry: 'route',
  drop: 'route',
  restore: 'route',
};
const member: Table<MemberHandle> = {
  ...{ tracker: NAME, id: NAME, send: 'route', request: 'route' },
  ...{ show: 'route', reload: 'route' },
};
const memberDead: Table<MemberDeadLetters> = {
  ...{ list: 'route', page: 'route', count: 'route', show: 'route', retry: 'route', drop: 'route' },
};
const job: Table<JobHandle> = {
  name: NAME,
  declare: DECLARED,
  run: 'route',
  status: 'route',
  history: 'route',
  historyPage: 'route',
  failedRows: 'route',
  failedRowsPage: 'route',
  retryFailed: 'route',
  explain: 'route',
  start: 'route',
  stop: 'route',
  pause: 'route',
  resume: 'route',
  set: 'route',
  config: 'route',
};
const node: Table<NodeHandle> = {
  name: NAME,
  awaitDrained: { none: 'the stream and /nodes/{node} say how many pools are left' },
  drain: 'route',
  resume: 'route',
  target: 'route',
  weight: 'route',
  report: 'route',
};
const budget: Table<BudgetHandle> = {
  list: 'route',
  closedLimits: 'route',
  ofMember: 'route',
  memberCounts: { none: 'a count for the terminal' },
  show: 'route',
  close: 'route',
  open: 'route',
};
const upstream: Table<UpstreamHandle> = { name: NAME, config: 'route', set: 'route' };
const durable: Table<DurableHandle> = {
  leases: 'route',
  leasesPage: 'route',
  keysPage: 'route',
  key: 'route',
  deleteKey: 'route',
  brokenCompensations: 'route',
  brokenCompensationsPage: 'route',
  retryCompensation: 'route',
  resolveCompensation: 'route',
};

const TABLES: Record<string, Record<string, 'route' | { none: string }>> = {
  Longwatch: longwatch,
  TrackerHandle: tracker,
  BufferHandle: buffer,
  DeadLetters: dead,
  MemberHandle: member,
  MemberDeadLetters: memberDead,
  JobHandle: job,
  NodeHandle: node,
  BudgetHandle: budget,
  UpstreamHandle: upstream,
  DurableHandle: durable,
};

test('what has an address is said by exactly the routes', () => {
  const wanted = Object.entries(TABLES).flatMap(([handle, table]) =>
    Object.entries(table).flatMap(([name, how]) => (how === 'route' ? [`${handle}.${name}`] : [])),
  );
  expect([...new Set(ROUTES.flatMap(({ covers }) => covers))].sort()).toEqual(wanted.sort());
});

test('each address and each name is there once', () => {
  const addresses = ROUTES.map(({ method, path }) => `${method} ${path}`);
  expect(addresses).toEqual([...new Set(addresses)]);
  const ids = ROUTES.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)]);
});

test('a route that only reads needs no more than `read`, and every other one more', () => {
  for (const { method, role, id } of ROUTES)
    expect({ id, reads: role === 'read' }).toEqual({ id, reads: method === 'get' });
});
