/** The doctor, of members that receive, from rows that nodes and senders would write. */
import type { Longwatch } from '../../../client/longwatch';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf } from '../../../workflows/tracker/slots';
import { writeNode } from '../../support/node-rows';
import { Stack } from '../../support/stack';

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());
beforeEach(async () => {
  await stack.sql('truncate longwatch.tracker cascade');
  await stack.sql('truncate longwatch.mail');
  const options = JSON.stringify({ operations: {}, receive: { maxMail: 3, maxMailBytes: 10_000 } });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('rooms', $1)`, [options]);
});
afterEach(() => stack.sql('delete from longwatch.node'));

const found = async () =>
  (await longwatch.doctor()).findings
    .filter(({ check }) => /^(mail-full|member-)/.test(check))
    .map(({ severity, what, next }) => `${severity}: ${what} | ${next}`);
const waits = (error: string | null) =>
  stack.sql(
    `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at, error)
     values (0, nextval('longwatch.stamp'), 'rooms', 'lobby', $1, 's', '1', 1, now(), $2)`,
    [slotOf(hashId('lobby')), error],
  );

test('says which pools are full, and what keeps their mail from being handled', async () => {
  expect(await found()).toEqual([]);
  await stack.sql(
    `insert into longwatch.mail_full (tracker, pool, entries, bytes, for_handlers) values ('rooms', 0, 50000, 1048576, true)`,
  );
  const what =
    'problem: 1 pool of rooms is full of mail, so senders wait, and handlers fail: pool 0 has 50,000 messages (1 MB)';
  expect(await found()).toEqual([`${what}, and no node keeps it | npx longwatch pools rooms`]);
  await writeNode(stack.sql.bind(stack), { name: 'n', placement: { reads: {} } });
  await stack.sql(`insert into longwatch.pool (tracker, pool, node, taken_at) values ('rooms', 0, 'n', now())`);
  expect(await found()).toEqual([
    `${what}, and the node n has no code for them | give that node a config in which rooms has a receive, and start it again`,
  ]);
  await writeNode(stack.sql.bind(stack), { name: 'n', placement: { reads: { rooms: 1 } } });
  await waits(null);
  expect(await found()).toEqual([expect.stringContaining(`${what} | more nodes, or more handlers at once`)]);
  await waits('Error: no');
  await waits('Error: no');
  expect(await found()).toEqual([
    `${what}; of 3 that were looked at 2 have failed and wait to be tried again: Error: no | ` +
      'mend what they fail on: they are tried again by themselves, or are dead letters: npx longwatch dead list rooms',
  ]);
  await writeNode(stack.sql.bind(stack), { name: 'n', silentMs: 60_000 });
  expect(await found()).toEqual([expect.stringContaining('and no node keeps it')]);
  await stack.sql(`update longwatch.tracker set state = 'stopped'`);
  expect(await found()).toEqual([]);
});

test('says what may end processes, and that members have dead letters', async () => {
  const strike = (key: string, count: number) =>
    stack.sql(`insert into longwatch.strike (tracker, slot, key, count, keeper) values ('rooms', 1, $1, $2, '0/1')`, [
      key,
      count,
    ]);
  // One may have been at work by chance, and the other is a dead letter by now.
  await strike('rooms/lobby/1', 1);
  await strike('rooms/lobby/3', 3);
  expect(await found()).toEqual([]);
  await strike('rooms/lobby/2', 2);
  await stack.sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error) values ('rooms', 'lobby', 's', '1', 8, 'no')`,
  );
  expect(await found()).toEqual([
    'notice: 1 message, timer or value of rooms may end the process that handles it: 2 processes have ended with rooms/lobby/2 at work | ' +
      'npx longwatch member show rooms ID; after three processes it is handled no more',
    'notice: members of rooms have 1 dead letter | npx longwatch dead list rooms',
  ]);
});
