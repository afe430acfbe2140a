/**
 * Members that a route places, from outside: shown and brought back where their mail lies, by who knows the route, and
 * by the rows that there are. On the real PostgreSQL.
 */
import path from 'node:path';
import type { Longwatch } from '../../../client/longwatch';
import { PlacedByRouteError } from '../../../client/member/errors';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf } from '../../../workflows/tracker/slots';
import { runCli } from '../../support/cli';
import { eventually, Stack } from '../../support/stack';
import { routed } from './routed.config';

const CONFIG = path.join(__dirname, 'routed.config.ts');
/** The place that the route says, and the one that the id would. */
const ROUTED = String(slotOf(hashId('a')));
const BY_ID = slotOf(hashId('alpha'));

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());
beforeEach(async () => {
  await stack.sql('truncate longwatch.tracker cascade');
  await stack.sql('truncate longwatch.mail, longwatch.audit');
  const options = { operations: {}, route: 'initial', receive: { maxMail: 10, maxMailBytes: 10_000 } };
  await stack.sql(`insert into longwatch.tracker (name, options) values ('routed', $1)`, [JSON.stringify(options)]);
  longwatch = await stack.connect();
});
afterEach(() => longwatch.close());

const mail = () =>
  stack.sql<{ slot: string; json: string; request: string }>('select * from longwatch.mail order by id');
const dead = () => stack.sql(`select 1 from longwatch.member_dead`);
const die = (json: string) =>
  stack.sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error) values ('routed', 'alpha', 's', $1, 8, 'no')`,
    [json],
  );

test('a dead letter is mail again where the route places its member', async () => {
  await die('1');
  await longwatch.tracker(routed).dead.retry({}, { apply: true });
  expect(await mail()).toMatchObject([{ slot: ROUTED, json: '1' }]);
  expect(await dead()).toEqual([]);
});

test('who does not know the route brings back what has a row, and nothing where one has none', async () => {
  await die('1');
  const retry = () => longwatch.tracker('routed').dead.retry({}, { apply: true });
  await expect(retry()).rejects.toThrow(PlacedByRouteError);
  expect([await mail(), (await dead()).length]).toEqual([[], 1]);
  await stack.sql(`insert into longwatch.life (tracker, id, slot, version) values ('routed', 'alpha', $1, 1)`, [
    ROUTED,
  ]);
  await retry();
  expect(await mail()).toMatchObject([{ slot: ROUTED, json: '1' }]);
});

test('mail of a member that has had no turn is shown by who knows the route, and nobody else says that there is none', async () => {
  await longwatch.tracker(routed).member('alpha').send({ n: 1 });
  expect(await longwatch.tracker(routed).member('alpha').show()).toMatchObject({
    mail: { entries: 1 },
    messages: [{ message: { n: 1 } }],
  });
  const other = await stack.connect();
  await expect(other.tracker('routed').member('alpha').show()).rejects.toThrow(PlacedByRouteError);
  await other.close();
});

test('the command line, with a config: request, member show and dead retry', async () => {
  const asked = runCli(stack, 'request', 'routed', 'alpha', '1', '--config', CONFIG, '--timeout', '30');
  const row = await eventually('it is stored', async () => (await mail())[0]);
  expect(row.slot).toBe(ROUTED);
  await stack.sql(
    `insert into longwatch.reply (tracker, member, slot, request, client, json) values ('routed', 'alpha', $1, $2, 'c', '"yes"')`,
    [ROUTED, row.request],
  );
  expect(await asked).toEqual({ status: 0, out: '"yes"\n', err: '' });
  const shown = await runCli(stack, 'member', 'show', 'routed', 'alpha', '--config', CONFIG, '--json');
  expect(JSON.parse(shown.out)).toMatchObject({ mail: { entries: 1 } });
  await die('2');
  expect((await runCli(stack, 'dead', 'retry', 'routed', '--all', '--apply')).err).toContain('give --config');
  const back = await runCli(stack, 'dead', 'retry', 'routed', '--all', '--apply', '--config', CONFIG);
  expect(back).toMatchObject({ status: 0, out: '1 dead letter mail again\n' });
  expect(await mail()).toMatchObject([{ slot: ROUTED }, { slot: ROUTED, json: '2' }]);
});

test('the two places are not the same, or this says nothing', () => expect(String(BY_ID)).not.toBe(ROUTED));
