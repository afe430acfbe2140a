/**
 * Runs that need tokens of an upstream: real shifts, agendas and runs on one ring, and buckets that the test fills. An
 * empty bucket holds its own members, nobody else, and no place.
 */
import { defineUpstream } from '../../activities/upstream/define';
import { permitFor } from '../../activities/upstream/spending';
import { FakeSpender } from '../upstream/fake-spender';
import type { RunContext, RunResult } from '../../exports';
import { looking, member, shiftOf, T0, type Kit } from './shift-kit';

const upstream = defineUpstream({
  name: 'fake',
  origin: 'http://127.0.0.1:1',
  limits: { l: { key: 'member', tokens: 5, window: '1s' } },
});

const ran: string[] = [];
beforeEach(() => void (ran.length = 0));

/** Asks so often, and is answered at once. */
const asking =
  (times = 1) =>
  async ({ id }: RunContext): Promise<RunResult> => {
    for (let i = 0; i < times; i++) {
      const permit = await permitFor('fake', { method: 'GET', path: `/${id}`, id: undefined });
      permit!.report({ status: 200, header: () => undefined });
    }
    ran.push(id);
    return { value: 1 };
  };

type Over = Parameters<typeof looking>[1];
function kitOf(spender: FakeSpender, ids: string[], run = asking(), over: Over = {}): Kit {
  const kit = shiftOf(looking(run, { upstream, ...over }), { spender });
  kit.shift.loadAll(
    ids.map((id) => member(id, { addedAt: T0 - 60_000 })),
    [],
  );
  return kit;
}
const look = (kit: Kit) => kit.shift.loops.get('look')!;

test('a member whose bucket is empty waits in its line; all others go on', async () => {
  const spender = new FakeSpender(undefined, 1_000);
  spender.bucket('b').tokens = 0;
  const kit = kitOf(spender, ['a', 'b', 'c']);
  await kit.pass(3_000);
  expect(ran.filter((id) => id === 'a').length).toBeGreaterThanOrEqual(3);
  expect(ran).not.toContain('b');
  expect([...look(kit).budgeted!.heldBack()].map(({ shortage }) => shortage.key)).toEqual(['b']);
  expect([look(kit).agenda.parked, look(kit).agenda.backlog, kit.errors]).toEqual([1, 0, []]);
  // It waits for tokens and does not lag: other operations have no reason to give way.
  expect(look(kit).lag(kit.clock.now())).toBeLessThan(100);

  spender.bucket('b').give(1);
  await kit.pass(10);
  expect(ran.filter((id) => id === 'b')).toHaveLength(1);
  expect(look(kit).agenda.parked).toBe(0);
});

test('with a bucket for all, tokens are spent as they come, one run a token, and no place is held', async () => {
  const spender = new FakeSpender(() => 'all');
  const kit = kitOf(
    spender,
    Array.from({ length: 200 }, (_, i) => `m${i}`),
  );
  await kit.pass(2_000);
  expect([ran.length, look(kit).agenda.parked, kit.shift.inFlight]).toEqual([0, 200, 0]);
  for (let i = 0; i < 50; i++) {
    spender.bucket('all').give(2);
    await kit.pass(10);
  }
  expect(ran).toHaveLength(100);
  // In the order in which they came: nobody twice before everybody once.
  expect(new Set(ran).size).toBe(100);
  expect(spender.bucket('all').tokens).toBe(0);
});

test('who is woken takes no more than its operation can start now', async () => {
  const spender = new FakeSpender(() => 'all');
  const hangs = () => new Promise<RunResult>(() => undefined);
  const kit = kitOf(
    spender,
    Array.from({ length: 50 }, (_, i) => `m${i}`),
    hangs,
    { concurrency: 3, timeout: '1h' },
  );
  await kit.pass(1_500);
  spender.bucket('all').give(20);
  expect(spender.bucket('all').tokens).toBe(17);
  await kit.pass(50);
  expect([kit.shift.inFlight, spender.bucket('all').tokens]).toEqual([3, 17]);
});

test('what a run asks beyond what was taken it gets where there is some, else it ends, held and not failed', async () => {
  const spender = new FakeSpender(undefined, 3);
  const kit = kitOf(spender, ['a'], asking(2), { every: '5s' });
  spender.bucket('a').waitMs = 30_000;
  await kit.pass(100);
  expect([ran.length, spender.bucket('a').tokens]).toEqual([1, 1]);
  await kit.pass(5_000);
  expect([ran.length, spender.bucket('a').tokens, kit.errors]).toEqual([1, 0, []]);
  expect([look(kit).counts.failed, kit.shift.inFlight]).toEqual([0, 0]);
  // It stands in the line of its bucket, and needs no more than its tokens.
  await kit.pass(5_000);
  expect([ran.length, spender.bucket('a').waiters.size]).toEqual([1, 1]);
  spender.bucket('a').give(10);
  await kit.pass(50);
  expect(ran).toHaveLength(2);
});

test('what a run did not draw goes back, also where it fails or times out', async () => {
  const spender = new FakeSpender(undefined, 1);
  const idle = ({ id }: RunContext): Promise<RunResult> => {
    if (id === 'fails') throw new Error('no');
    return id === 'hangs' ? new Promise(() => undefined) : Promise.resolve({ value: 1 });
  };
  const kit = kitOf(spender, ['ends', 'fails', 'hangs'], idle, { every: '10s' });
  await kit.pass(10_500);
  expect([...spender.buckets.values()].map(({ tokens }) => tokens)).toEqual([1, 1, 1]);
});

test('a key function that throws fails its member, and nobody else', async () => {
  const spender = new FakeSpender(({ id }) => {
    if (id === 'b') throw new Error('this key cannot be made');
    return id!;
  }, 100);
  const kit = kitOf(spender, ['a', 'b']);
  await kit.pass(2_000);
  expect(ran).toContain('a');
  expect(kit.errors[0]).toMatchObject({ id: 'b', error: { message: 'this key cannot be made' } });
});

test('members that leave, a shift that ends and a pause leave nobody in a line and no token taken', async () => {
  const spender = new FakeSpender(() => 'all');
  const kit = kitOf(spender, ['a', 'b', 'c', 'd']);
  await kit.pass(1_500);
  const bucket = spender.bucket('all');
  expect(bucket.waiters.size).toBe(4);
  kit.shift.loadAll(
    ['b', 'c', 'd'].map((id) => member(id, { addedAt: T0 - 60_000 })),
    [],
  );
  expect(bucket.waiters.size).toBe(3);
  kit.shift.follow({ ...kit.tracker, state: 'paused', version: kit.tracker.version + 1 });
  bucket.give(1);
  expect(bucket.tokens).toBe(1);
  await kit.pass(100);
  kit.shift.close();
  expect([bucket.waiters.size, bucket.tokens]).toEqual([0, 1]);
});

test('code that was given up pays for what it still asks, request by request', async () => {
  const spender = new FakeSpender(undefined, 5);
  let goOn!: () => void;
  const late = new Promise<void>((resolve) => (goOn = resolve));
  const run = async ({ id }: RunContext): Promise<RunResult> => {
    await late;
    return asking(2)({ id } as RunContext);
  };
  const kit = kitOf(spender, ['a'], run, { every: '1h', timeout: '200ms' });
  await kit.pass(1_000);
  expect([spender.bucket('a').tokens, kit.shift.inFlight]).toEqual([5, 0]);
  goOn();
  await kit.pass(50);
  expect(spender.bucket('a').tokens).toBe(3);
});

test('a run that lacks another upstream’s tokens stands in the line of that one before its next run', async () => {
  const other = new FakeSpender(() => 'login');
  const own = new FakeSpender(undefined, 100);
  // One spender of two upstreams.
  const spender = Object.assign(new FakeSpender(), {
    reserve: (name: string, use: Parameters<FakeSpender['reserve']>[1]) =>
      name === 'login' ? other.reserve('fake', use) : own.reserve(name, use),
  });
  other.reserveAs = 'login';
  const run = async ({ id }: RunContext): Promise<RunResult> => {
    (await permitFor('login', { method: 'POST', path: '/token', id: undefined }))!.release();
    ran.push(id);
    return { value: 1 };
  };
  const kit = kitOf(spender, ['a'], run, { every: '1h' });
  await kit.pass(2_000);
  expect([ran.length, look(kit).counts.failed, own.bucket('a').tokens]).toEqual([0, 0, 100]);
  // Nobody would ask for tokens of a bucket that nobody waits for.
  expect(other.bucket('login').waiters.size).toBe(1);
  other.bucket('login').give(1);
  await kit.pass(50);
  expect(ran).toEqual(['a']);
  await kit.pass(5_000);
  expect(ran).toEqual(['a']);
});

test('a thread asks for what its code sends, also where the operation names no upstream', async () => {
  const spender = new FakeSpender(undefined, 5);
  const kit = shiftOf(looking(asking(), { isolate: true, every: '1h' }), { spender });
  kit.host.isolated = async ({ spending }) => {
    const permit = await spending!.permit('fake', { method: 'GET', path: '/', id: undefined });
    permit.report({ status: 200, header: () => undefined });
    return { value: 1 };
  };
  kit.shift.loadAll([member('a', { addedAt: T0 - 60_000 })], []);
  await kit.pass(500);
  expect([spender.bucket('a').tokens, spender.answers.length, kit.errors]).toEqual([4, 1, []]);
});
