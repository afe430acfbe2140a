/** Part of `gives-way.test.ts`: a tick whose table or pass has been replaced by another one since it began. */
import { setPointHook } from '../../../activities/lib/points';
import { eventually } from '../../support/stack';
import { regens, stack, make, sums } from './table';

test('a tick ends where it was when its table has another key by then: its parts say nothing of the other one', async () => {
  await stack.sql('create table rekeyed (id int primary key, other int not null, n int not null default 0)');
  await stack.sql('insert into rekeyed select i, 1001 - i from generate_series(1, 1000) i');
  await stack.sql(
    `create function rekeyed_f() returns trigger language plpgsql as $$ begin if new.id = 450 then raise serialization_failure; end if; return new; end $$`,
  );
  await stack.sql('create trigger t before update on rekeyed for each row execute function rekeyed_f()');
  const config = regens({ name: 'rekeyed', chunk: 100 });
  const node = stack.node(config);
  await stack.open(node, config, 'rekeyed');
  const due = Date.now();
  const { result } = stack.begin(node, 'rekeyed', { due });
  await eventually('it is on its way', async () => ((await sums('rekeyed'))[1] ?? 0) >= 400);
  await node.drain();
  await result;
  await stack.sql('drop trigger t on rekeyed');
  await stack.sql('alter table rekeyed drop constraint rekeyed_pkey, add primary key (other)');
  const next = stack.node(config);
  expect(await stack.pass(next, 'rekeyed', { due })).toMatchObject({ end: 'fenced' });
  expect(await stack.pass(next, 'rekeyed', { due })).toMatchObject({
    end: 'done',
    error: expect.stringContaining('another key') as string,
  });
  expect((await sums('rekeyed'))[2]).toBeUndefined();
  expect(await stack.pass(next, 'rekeyed', { due: due + 1 })).toMatchObject({
    end: 'done',
    rows: 1_000,
    error: undefined,
  });
});
// prettier-ignore

test('a pass that finds this late leaves alone the tick that another one has begun since', async () => {
  await make('late', 100);
  const config = regens({ name: 'late', chunk: 100 });
  const [late, early] = [stack.node(config), stack.node(config)];
  await stack.open(late, config, 'late');
  await stack.sql(`insert into longwatch.tick (job, due, elapsed, key) values ('late', to_timestamp(1), 1, '{gone}')`);
  await stack.other(async (holder) => {
    await holder.query('update late set n = n where id = 50');
    let next: Promise<unknown> | undefined;
    let first = true;
    setPointHook(async (point) => {
      if (point !== 'tick.other key' || !first) return;
      first = false;
      expect(await stack.pass(early, 'late')).toMatchObject({ end: 'fenced' });
      next = stack.begin(early, 'late').result;
      await eventually('all others have advanced', async () => (await sums('late'))[1] === 99);
    });
    try {
      expect(await stack.pass(late, 'late')).toMatchObject({ end: 'fenced' });
    } finally {
      setPointHook(undefined);
    }
    await holder.query('commit');
    expect(await next).toMatchObject({ end: 'done', rows: 100 });
  });
});
// prettier-ignore

test('a tick that was asked for by hand stays to be read, however few are kept', async () => {
  await make('kept_ticks', 5);
  const config = regens({ name: 'kept_ticks', keep: 1 });
  const node = stack.node(config);
  await stack.open(node, config, 'kept_ticks');
  const due = Date.now();
  await stack.pass(node, 'kept_ticks', { due });
  await stack.pass(node, 'kept_ticks', { due: due + 1, request: 'by hand' });
  await stack.pass(node, 'kept_ticks', { due: due + 2 });
  await stack.pass(node, 'kept_ticks', { due: due + 3 });
  const kept = await stack.sql(`select request from longwatch.tick where job = 'kept_ticks' order by due`);
  expect(kept).toEqual([{ request: 'by hand' }, { request: null }]);
});
