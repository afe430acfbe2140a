/**
 * Each address that changes something, on real servers: what it answers has the form that its schema says, and each act
 * of an operator is a row of the audit, under the caller's name. Data (ids, entries) is not listed.
 */
import { ROUTES } from '../../http/routes/all';
import { Desk } from './desk';

let desk: Desk;
let node: string;
beforeAll(async () => {
  desk = await Desk.start();
  const { nodes } = (await desk.ask('/nodes')).body as { nodes: { name: string }[] };
  node = encodeURIComponent(nodes[0]!.name);
  await desk.stack.sql(
    `insert into longwatch.upstream (name, options) values ('esi', '{"limits": {"errors": {"shape": "fixed", "tokens": 100, "windowMs": 60000}}}')`,
  );
  await desk.stack.sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error) values ('things', 'c', 's', '1', 8, 'no')`,
  );
});
afterAll(() => desk?.close());

/** Data: counted, and not listed. Dry runs change nothing. */
const UNLISTED = ['push', 'addMembers', 'removeMembers'];

/** The requests, by the route's name; `at` are the names of its address. */
const ASKED: Record<string, { at?: Record<string, string>; body?: unknown; status?: number; listed?: string }> = {
  addMembers: { body: { ids: ['e'], wait: true } },
  removeMembers: { body: { ids: ['e'] } },
  reconcileMembers: {
    body: { ids: ['a/b', 'c', '{d}', 'f'], apply: true, wait: true, why: 'all' },
    listed: 'reconcile',
  },
  sendToMember: { at: { id: 'c' }, body: { message: 1 }, status: 409 },
  requestOfMember: { at: { id: 'c' }, body: { message: { a: 1 } }, status: 409 },
  reloadMember: { at: { id: 'c' }, body: { why: 'by hand' }, listed: 'member reload' },
  retryDeadMessages: { body: { apply: true }, status: 409 },
  dropDeadMessages: { body: { member: 'c', apply: true }, listed: 'dead drop' },
  pauseTracker: { body: { why: 'a test' }, listed: 'pause' },
  resumeTracker: { listed: 'resume' },
  setTrackerConfig: { body: { changes: { 'operations.look.every': '2s' } }, listed: 'set' },
  openHolds: { body: { operation: 'look' }, listed: 'hold open' },
  refetch: { body: { ids: ['c', 'nobody'] }, listed: 'refetch' },
  movePool: { body: { to: 'nobody' }, status: 404 },
  crashPool: { listed: 'crash' },
  stopTracker: { listed: 'stop' },
  startTracker: { listed: 'start' },
  push: { body: { entries: [1, { a: null }, 'text'], wait: true } },
  flush: { listed: 'flush' },
  pauseBuffer: { listed: 'pause' },
  resumeBuffer: { listed: 'resume' },
  setBufferConfig: { body: { changes: { maxBatchSize: 5 } }, listed: 'set' },
  retryDeadLetters: { body: { apply: true, front: true }, listed: 'dead retry' },
  dropDeadLetters: { body: { error: 'x', apply: true }, listed: 'dead drop' },
  restoreDeadLetters: { body: { ids: ['0-1'], apply: true }, listed: 'dead restore' },
  stopBuffer: { listed: 'stop' },
  startBuffer: { listed: 'start' },
  runJob: { body: { why: 'now' }, listed: 'run' },
  retryFailedRows: { body: { keys: [['1']] }, listed: 'retry' },
  pauseJob: { listed: 'pause' },
  resumeJob: { listed: 'resume' },
  setJobConfig: { body: { changes: { keep: 50 } }, listed: 'set' },
  stopJob: { listed: 'stop' },
  startJob: { listed: 'start' },
  rebalance: { status: 200 },
  drainNode: { body: { for: '30m', why: 'a new disk' }, listed: 'node drain' },
  resumeNode: { listed: 'node resume' },
  setTarget: { body: { pools: 5 }, listed: 'node target' },
  setWeight: { body: { weight: 0.5 }, listed: 'node weight' },
  setUpstreamConfig: { body: { changes: { headroom: 0.2 } }, listed: 'set' },
  // Nobody has spent from it yet: it is closed for the keys that come.
  closeBuckets: { body: { bucket: 'esi/errors', forMs: 60_000 }, listed: 'budget close' },
  openBuckets: { body: { bucket: 'esi/errors' }, listed: 'budget open' },
  deleteKey: { at: { activity: 'pay', key: '42' }, status: 404 },
  retryCompensation: { at: { task: 'x' }, status: 409 },
  resolveCompensation: { at: { task: 'x' }, body: { note: 'by hand' }, status: 409 },
};

const changing = ROUTES.filter(({ method }) => method !== 'get');
const lastAct = async () =>
  (
    await desk.stack.sql<Record<string, unknown>>(
      'select number, actor, via, what, why from longwatch.audit order by number desc limit 1',
    )
  )[0];

test('each of them is tried', () => {
  expect(Object.keys(ASKED).sort()).toEqual(changing.map(({ id }) => id).sort());
});

test.each(Object.keys(ASKED))('%s', async (id) => {
  const route = changing.find((each) => each.id === id)!;
  const { at = {}, body = {}, status = 200, listed } = ASKED[id]!;
  const names: Record<string, string> = { tracker: 'things', buffer: 'mail', job: 'energy', upstream: 'esi', pool: '0', node, ...at }; // prettier-ignore
  const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) => names[name]!);
  const before = await lastAct();
  const answered = await desk.ask(path, { method: route.method.toUpperCase(), body });
  expect({ status: answered.status, body: answered.body }).toEqual({
    status,
    body: status === 200 ? route.answer.parse(answered.body) : { error: expect.anything() as unknown },
  });
  const after = await lastAct();
  if (listed === undefined) expect(status === 200 ? [...UNLISTED, 'rebalance'] : [id]).toContain(id);
  if (listed === undefined && status === 200) expect(after).toEqual(before);
  if (listed !== undefined)
    expect(after).toMatchObject({
      actor: 'tester',
      via: 'http',
      what: listed,
      why: (body as { why?: string }).why ?? null,
    });
});
