/** While a tracker is paused its members take messages and handle none; what is due waits, and costs nothing. */
import type { MemberContext } from '../../../config/define/member';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { becomes, database, handled, nodeOf, send, stack, trackerOf, type TurnsNode } from './kit';
import { rowOf } from '../shift-kit';

let begun: unknown[] = [];
let meanwhile = (): void => undefined;
beforeEach(() => {
  begun = [];
  meanwhile = () => undefined;
});
const noting = trackerOf({
  receive: (message: { after?: number }, ctx: MemberContext) => {
    begun.push(message);
    if (message.after !== undefined) ctx.after(message.after, { rang: true });
    meanwhile();
  },
});
const set = ({ kit }: TurnsNode, state: 'paused' | 'running') => kit.shift.follow({ ...kit.tracker, state });
/** Its mail is in memory, and so is the member: a turn could begin. */
const couldBegin = async ({ turns }: TurnsNode, id: string) => {
  const [pool] = turns.pools;
  await becomes(
    () => (turns.lookAtAll(), pool!.members.memory.entries),
    (entries) => entries > 0,
  );
  await becomes(
    () => pool!.members.member(id)?.phase,
    (phase) => phase === 'here',
  );
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
};

test('no handler begins until it is resumed, also at a keeper that has come meanwhile', async () => {
  const node = await nodeOf(noting);
  set(node, 'paused');
  expect(await send([['a', {}]])).toEqual(['taken']);
  await couldBegin(node, 'a');
  expect(begun).toEqual([]);
  await node.turns.leave(node.kit.shift, true);
  node.turns.keep(node.kit.shift, slotsOf(0, 1));
  await couldBegin(node, 'a');
  expect(begun).toEqual([]);
  set(node, 'running');
  await handled();
  expect(begun).toEqual([{}]);
});

test('a timer that is due waits, and the node does not look at it all the time', async () => {
  const node = await nodeOf(noting);
  const { turns } = node;
  // The turn that is under way ends.
  meanwhile = () => set(node, 'paused');
  await send([['a', { after: 100 }]]);
  turns.lookAtAll();
  await handled();
  const due = Date.now() + 100;
  await becomes(Date.now, (now) => now > due);
  let seconds = 0;
  let works = 0;
  const counted = turns as unknown as { lookAtAll(): void; work(): void };
  const { lookAtAll, work } = counted;
  counted.lookAtAll = () => (seconds++, lookAtAll.call(turns));
  counted.work = () => (works++, work.call(turns));
  await becomes(
    () => seconds,
    (looks) => looks >= 2,
  );
  expect(works).toBeLessThan(50);
  expect(begun).toEqual([{ after: 100 }]);
  set(node, 'running');
  await becomes(
    () => begun,
    (all) => all.length === 2,
  );
  expect(begun[1]).toEqual({ rang: true });
});

describe('a turn that waits for its place when the tracker is paused', () => {
  let release = (): void => undefined;
  const holding = (transaction: boolean) =>
    trackerOf({
      receive: {
        timeout: '1m',
        transaction,
        handle: async (_message: unknown, { id }: MemberContext) => {
          begun.push(id);
          await new Promise<void>((resolve) => (release = resolve));
        },
      },
    });
  const began = (count: number) =>
    becomes(
      () => begun.length,
      (length) => length === count,
    );
  const mailLeft = (count: number) =>
    becomes(
      async () => (await stack.sql('select 1 from longwatch.mail')).length,
      (length) => length === count,
    );
  /** The first one has ended and is committed, and the other one does not begin before it is resumed. */
  async function isHeld(node: TurnsNode): Promise<void> {
    await began(1);
    set(node, 'paused');
    release();
    await mailLeft(1);
    await becomes(
      () => [...node.turns.pools][0]!.begun,
      (turns) => turns === 0,
    );
    for (let i = 0; i < 10; i++) await new Promise(setImmediate);
    expect(begun).toHaveLength(1);
    set(node, 'running');
    await began(2);
    release();
    await handled();
    expect(begun).toHaveLength(2);
  }

  test('does not begin: it waited for a connection', async () => {
    const one = Object.create(database, { most: { value: 1 } }) as typeof database;
    const node = await nodeOf(holding(true), { setup: { handlers: one } });
    await send([
      ['a', {}],
      ['b', {}],
    ]);
    node.turns.lookAtAll();
    await becomes(
      () => [...node.turns.pools][0]!.begun,
      (turns) => turns === 2,
    );
    await isHeld(node);
  });

  test('does not begin: it is a suspect behind another one', async () => {
    const definition = holding(false);
    const { name, options } = rowOf(definition);
    await stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, 1)', [
      name,
      JSON.stringify(options),
    ]);
    for (const id of ['a', 'b']) {
      await send([[id, {}, { request: { id: `r ${id}`, deadline: Date.now() + 600_000, client: 'c' } }]]);
      await stack.sql(
        `insert into longwatch.strike (tracker, slot, key, count, keeper) values ('t', $1, $2, 1, '0/0')`,
        [slotOf(hashId(id)), `t/${id}/r ${id}`],
      );
    }
    const node = await nodeOf(definition);
    await becomes(
      () => (node.turns.lookAtAll(), ['a', 'b'].filter((id) => [...node.turns.pools][0]!.members.member(id)?.running)),
      (running) => running.length === 2,
    );
    await isHeld(node);
  });
});
