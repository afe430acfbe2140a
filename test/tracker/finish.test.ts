/** The last moments of a shift: whatever fails in them, nothing of it stays on its node. */
import type { Database } from '../../activities/lib/database';
import { finish } from '../../activities/tracker/shift/finish';
import type { Node } from '../../activities/tracker/shift/node';
import { looking, shiftOf } from './shift-kit';

test('a shift whose turns do not come to an end leaves its node all the same', async () => {
  const { shift } = shiftOf(looking(() => ({ value: 1 })));
  const left: unknown[] = [];
  const node = {
    turns: { leave: () => Promise.reject(new Error('a mistake of ours')) },
    leave: (one: unknown) => left.push(one),
  };
  const ended = finish({ node: node as unknown as Node, database: {} as Database }, shift, 'elapsed');
  await expect(ended).rejects.toThrow('a mistake of ours');
  expect(left).toEqual([shift]);
});
