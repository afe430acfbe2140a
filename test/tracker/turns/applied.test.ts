/**
 * Values that operations bring go to `apply`, each changed one once, in a turn of its member; also where a node died in
 * between.
 */
import type { MemberContext } from '../../../config/define/member';
import { becomes, flush, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';

interface State {
  level: number;
  seen: number[];
}
const levels = trackerOf(
  {
    state: { initial: (): State => ({ level: 0, seen: [] }) },
    receive: () => undefined,
  },
  {
    operations: {
      look: {
        every: '50ms',
        run: () => ({ value: 0 }),
        apply(value: number, { state }: MemberContext<State>) {
          state.level = value;
          state.seen.push(value);
        },
      },
    },
  },
);

/** The operation has brought this for the member. */
function bring({ kit }: TurnsNode, id: string, value: number, fetchedAt: number, codec?: string): void {
  const loop = kit.shift.loop('look')!;
  const slot = kit.shift.members.slotOf(id)!;
  const key = kit.shift.members.key(slot);
  loop.results.succeed(slot, { key, json: String(value), etag: null, fetchedAt, expiresAt: null, codec });
}

test('a changed value is applied once, and one that has not changed is not', async () => {
  const node = await nodeOf(levels);
  await send([['a', {}]]);
  node.turns.lookAtAll();
  await handled();
  await becomes(
    () => node.kit.shift.members.slotOf('a'),
    (slot) => slot !== undefined,
  );
  const at = Date.now();
  bring(node, 'a', 5, at);
  await flush(node);
  await becomes(
    () => stateOf('a'),
    (state) => (state as State | undefined)?.level === 5,
  );
  bring(node, 'a', 5, at + 1_000);
  await flush(node);
  bring(node, 'a', 6, at + 2_000);
  await flush(node);
  await becomes(
    () => stateOf('a'),
    (state) => (state as State).level === 6,
  );
  expect(await stateOf('a')).toEqual({ level: 6, seen: [5, 6] });
});

test('a value whose node has died before its turn is applied by the next keeper', async () => {
  const first = await nodeOf(levels);
  await send([['a', {}]]);
  first.turns.lookAtAll();
  await handled();
  await becomes(
    () => first.kit.shift.members.slotOf('a'),
    (slot) => slot !== undefined,
  );
  bring(first, 'a', 5, Date.now());
  first.kit.shift.life = undefined;
  await flush(first);
  expect(await stack.sql('select value from longwatch.value')).toEqual([{ value: 5 }]);
  expect(await stateOf('a')).toBeUndefined();
  await nodeOf(levels, { node: 'second' });
  await becomes(
    () => stateOf('a'),
    (state) => state !== undefined,
  );
  expect(await stateOf('a')).toEqual({ level: 5, seen: [5] });
});

test('a value that a codec has encoded is applied in clear; one that cannot be read is a failure of its turn alone', async () => {
  const halved = trackerOf(levels, {
    operations: {
      look: {
        ...levels.operations.look!,
        codec: {
          name: 'halved',
          encode: (value) => value,
          decode: (stored) => {
            if (stored === 13) throw new Error('an odd one');
            return (stored as number) * 2;
          },
        },
      },
    },
  });
  const node = await nodeOf(halved);
  await send([
    ['a', {}],
    ['b', {}],
  ]);
  node.turns.lookAtAll();
  await handled();
  await becomes(
    () => ['a', 'b'].map((id) => node.kit.shift.members.slotOf(id)),
    (slots) => !slots.includes(undefined),
  );
  bring(node, 'b', 13, Date.now(), 'halved');
  bring(node, 'a', 5, Date.now(), 'halved');
  await flush(node);
  await becomes(
    () => stateOf('a'),
    (state) => (state as State | undefined)?.level === 10,
  );
  expect(((await stateOf('b')) as State | undefined)?.level ?? 0).toBe(0);
});
