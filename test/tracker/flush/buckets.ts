/** Part of `flush.test.ts`: buckets of members, which are stored with the values and taken over by the next shift. */
import { isOfCleanEnd, releaseFence, takeFence } from '../../../activities/tracker/store/fence';
import { NodeSpender } from '../../../activities/upstream/budget/node/spender';
import { limitedUpstream } from '../../../activities/upstream/budget/resolve';
import { readMemberBuckets } from '../../../activities/upstream/store/purse';
import { permitFor } from '../../../activities/upstream/spending';
import { resolveUpstream } from '../../../config/resolve/upstream';
import { defineUpstream } from '../../../exports/upstream';
import { freshness, member, shiftOf, TestClock, type Kit } from '../shift-kit';
import { claimOf, closing, database, never, stack, trackerOf, writerOf } from './pools';

const upstream = defineUpstream({
  name: 'up',
  origin: 'http://127.0.0.1:1',
  limits: { own: { key: 'member', tokens: 150, window: '15m', cost: 5 } },
});

/** A node's spender; nothing of it is shared, so its ledger is never asked. */
function spenderOf(clock: TestClock): NodeSpender {
  const spender = new NodeSpender(
    {
      clocks: { monotonic: () => clock.time / 1_000, wall: () => clock.time / 1_000 },
      now: () => clock.time / 1_000,
      process: 'one',
      address: 'here',
    },
    { urge: () => undefined, tellClosing: () => undefined },
  );
  const problems: string[] = [];
  spender.define(limitedUpstream({ ...resolveUpstream({ name: 'up', limits: limits() }, problems), onlyTracker: 't' }));
  expect(problems).toEqual([]);
  closing.push(() => Promise.resolve(spender.close()));
  return spender;
}

const limits = () => ({ own: { key: 'member' as const, tokens: 150, window: '15m' as const, cost: 5 } });

let asked = 0;
const definition = trackerOf(
  async ({ id }) => {
    const permit = await permitFor('up', { method: 'GET', path: `/${id}`, id: undefined });
    asked++;
    permit!.report({ status: 200, header: () => undefined });
    return { value: asked };
  },
  { upstream, every: '1s' },
);

/** A shift takes the pool and its members over, as `keep.ts` does. */
async function takeOver(clock: TestClock, ids: string[]): Promise<Kit> {
  const claim = claimOf(0);
  const fence = await takeFence(database, claim, never);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select 't', id, 0, 1, 0 from unnest($1::text[]) id on conflict do nothing`,
    [ids],
  );
  const rows = await stack.sql<{ key: number; id: string }>('select key::int, id from longwatch.member order by key');
  const kit = shiftOf(definition, { claim, token: fence.token, clock, spender: spenderOf(clock) });
  kit.shift.rosterVersion = fence.rosterVersion;
  const keys = rows.map(({ key }) => key);
  const [buckets, isClean] = await database.transaction(async (db) => [
    await readMemberBuckets(db, keys),
    await isOfCleanEnd(db, claim),
  ]);
  kit.shift.loadAll(
    rows.map(({ id, key }) => member(id, { key })),
    // They were fetched before.
    rows.map(({ id, key }) => freshness(member(id, { key }), { fetchedAt: clock.now() - 60_000 })),
    buckets,
    isClean,
  );
  return kit;
}

/** Tokens that the stored rows of a member count as spent or still to be spent. */
const stored = async (id: string) =>
  (
    await stack.sql<{ spent: number; late: number }>(
      `select (select coalesce(sum(t), 0)::int from unnest(b.tokens) t) as spent, coalesce(late_tokens, 0)::int as late
       from longwatch.budget_member b join longwatch.member m on m.key = b.member where m.id = $1`,
      [id],
    )
  )[0];

/** Requests of one member until its bucket is empty, storing after each. */
async function spendAll(kit: Kit): Promise<number> {
  const { writer } = writerOf([kit]);
  const before = asked;
  for (let i = 0; i < 40; i++) {
    await kit.pass(1_000);
    kit.shift.hinted = true;
    await writer.flush();
  }
  return asked - before;
}

/** No bucket can be written, for a reason that passes. @returns ends it */
async function refusingBuckets(): Promise<() => Promise<unknown>> {
  await stack.sql(`create function longwatch.no_buckets() returns trigger language plpgsql as $$
    begin raise exception 'not now' using errcode = '40001'; end $$`);
  await stack.sql(`create trigger no_buckets before insert or update on longwatch.budget_member
    for each row execute function longwatch.no_buckets()`);
  return () => stack.sql('drop function longwatch.no_buckets cascade');
}

describe('buckets of members', () => {
  test('are stored with the values; the next shift goes on where a clean end left them', async () => {
    const clock = new TestClock(1_760_000_000_000);
    const first = await takeOver(clock, ['a']);
    expect(await spendAll(first)).toBe(30);
    expect(await stored('a')).toEqual({ spent: 150, late: 0 });
    first.shift.purse!.end();
    expect(first.shift.purse!.isStored).toBe(true);
    await releaseFence(database, first.shift.claim, first.shift.token);
    const next = await takeOver(clock, ['a', 'b']);
    // All of it is spent for fifteen minutes; another member has its own.
    expect(await spendAll(next)).toBe(30);
    expect(await stored('b')).toEqual({ spent: 150, late: 0 });
    expect(await stored('a')).toEqual({ spent: 150, late: 0 });
  });

  test('taken from a keeper that did not end, what it may still spend is counted', async () => {
    const clock = new TestClock(1_760_000_000_000);
    await takeOver(clock, ['a']);
    const next = await takeOver(clock, ['a']);
    // A request of five and a second's pace, in whole tokens: two requests fewer.
    expect(await spendAll(next)).toBe(28);
  });

  test('between two stores no more is sent than a next keeper would count, and a store that failed comes again', async () => {
    const clock = new TestClock(1_760_000_000_000);
    const kit = await takeOver(clock, ['a']);
    const { writer } = writerOf([kit]);
    const before = asked;
    await kit.pass(10_000);
    expect(asked - before).toBe(1);
    const drop = await refusingBuckets();
    await writer.flush();
    await kit.pass(3_000);
    expect(asked - before).toBe(1);
    await drop();
    kit.shift.hinted = true;
    await writer.flush();
    await writer.flush();
    expect(await stored('a')).toEqual({ spent: 5, late: 0 });
    await kit.pass(2_000);
    expect(asked - before).toBe(2);
  });

  test('requests under way at the end count as spent late, and their answers are not heard', async () => {
    const clock = new TestClock(1_760_000_000_000);
    const kit = await takeOver(clock, ['a']);
    const purse = kit.shift.purse!;
    const reserved = kit.host.spender!.reserve('up', { class: 'watch', by: 't/look', id: 'a', purse, slot: 0 });
    if (reserved.isShort) throw new Error('it has some');
    const spend = reserved.draw({ method: 'GET', path: '/' });
    purse.end();
    expect(purse.isStored).toBe(false);
    kit.shift.hinted = true;
    await writerOf([kit]).writer.flush();
    expect(purse.isStored).toBe(true);
    expect(await stored('a')).toEqual({ spent: 0, late: 5 });
    if (!spend.isShort) spend.report({ status: 200, header: () => undefined });
    expect(purse.isStored).toBe(true);
  });

  test('a shift that has lost its fence stores nothing', async () => {
    const clock = new TestClock(1_760_000_000_000);
    const old = await takeOver(clock, ['a']);
    const next = await takeOver(clock, ['a']);
    await old.pass(1_500);
    await writerOf([old]).writer.flush();
    expect(await stored('a')).toBeUndefined();
    await next.pass(1_500);
    await writerOf([next]).writer.flush();
    expect(await stored('a')).toMatchObject({ spent: 5 });
  });
});
