/** A worker runs the SQL of its own config, whatever a workflow's input or the job's row says. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { defineConfig, defineRegen, defineSweep } from '../../exports';
import type { JobOptions } from '../../workflows/job/options';
import { PassStack } from './pass-kit';
import { resolveConfig } from '../../config/resolve/config';

const config = defineConfig({
  regens: [defineRegen({ name: 'stamina', every: '1h', table: 'player', set: { stamina: 'stamina + 1' } })],
  sweeps: [defineSweep({ name: 'due', every: '1h', table: 'player', due: 'stamina > 100', handle: () => undefined })],
});
const optionsOf = (name: string): JobOptions =>
  structuredClone(resolveConfig(config).jobs.find((job) => job.name === name)!.options);
/** Somebody who may write to the namespace has the name of a job, and statements of his own. */
const FOREIGN = '(select count(*) from pg_shadow)::int';

let stack: PassStack;
beforeAll(async () => {
  stack = await PassStack.start();
  await stack.sql('create table player (id int primary key, stamina int not null default 0)');
  await stack.sql('insert into player select generate_series(1, 10)');
});
afterAll(() => stack.close());
const sum = () => stack.number('select sum(stamina) from player');

test('its own definition is opened and run', async () => {
  const node = stack.node(config);
  await stack.open(node, config, 'stamina');
  expect(await stack.pass(node, 'stamina')).toMatchObject({ end: 'done', rows: 10 });
  expect(await sum()).toBe(10);
});

test.each<[what: string, name: string, work: Partial<JobOptions['work']>]>([
  ['other SQL under a known name', 'stamina', { set: { stamina: FOREIGN } }],
  ['a condition of its own', 'stamina', { where: `stamina < ${FOREIGN}` }],
  ['another table', 'stamina', { table: { name: 'other' } }],
  ['a name that the config does not have', 'mine', {}],
  ['other rows for a handler', 'due', { due: `stamina < ${FOREIGN}` }],
])('%s is not opened, not declared, and not stored', async (_what, name, work) => {
  await stack.sql('create table if not exists other (id int primary key, stamina int)');
  const node = stack.node(config);
  const options = optionsOf(name === 'mine' ? 'stamina' : name);
  Object.assign(options.work, work);
  const before = await stack.sql('select name, options from longwatch.job order by name');
  const call = (activity: 'openJob' | 'declareJob', attempt: number) =>
    new MockActivityEnvironment({ attempt }).run(() => node.activities[activity]({ job: name, options }));
  await expect(call('openJob', 1)).rejects.toMatchObject({ type: 'NotDefinedHere', nonRetryable: false });
  await expect(call('declareJob', 1)).rejects.toMatchObject({ type: 'NotDefinedHere' });
  // Another worker may have it. When none has, that is said.
  await expect(call('openJob', 10)).rejects.toMatchObject({
    type: 'BadOption',
    nonRetryable: true,
    message: expect.stringMatching(/no worker that was asked has this definition/) as string,
  });
  expect(await stack.sql('select name, options from longwatch.job order by name')).toEqual(before);
});

test('neither is it run from the row, whoever has written that', async () => {
  const node = stack.node(config);
  await stack.open(node, config, 'stamina');
  const before = await sum();
  await stack.sql(
    `update longwatch.job set options = jsonb_set(options, '{work,set,stamina}', to_jsonb($1::text)) where name = 'stamina'`,
    [FOREIGN],
  );
  await expect(stack.pass(node, 'stamina')).rejects.toMatchObject({
    type: 'NotDefinedHere',
    message: expect.stringMatching(/start stamina --update/) as string,
  });
  expect(await sum()).toBe(before);
  await new MockActivityEnvironment().run(() =>
    node.activities.declareJob({ job: 'stamina', options: optionsOf('stamina') }),
  );
  expect(await stack.pass(node, 'stamina')).toMatchObject({ end: 'done', rows: 10 });
});

test('when and how fast it runs is not part of the definition', async () => {
  const node = stack.node(config);
  const options: JobOptions = { ...optionsOf('stamina'), schedule: { everyMs: 5_000 }, chunk: 2, sources: {} };
  await stack.openWith(node, 'stamina', options);
  expect(await stack.pass(node, 'stamina')).toMatchObject({ end: 'done', rows: 10 });
});
