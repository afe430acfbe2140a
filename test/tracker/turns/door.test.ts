/** The way to a fence: many go together, or one alone, in the order in which they came. */
import { Door } from '../../../activities/tracker/turns/door';

const settled = () => new Promise(setImmediate);

test('who shares goes in together; one alone waits for them, and those who come later wait for him', async () => {
  const door = new Door();
  const inside: string[] = [];
  const leave = new Map<string, () => void>();
  const come = (name: string, alone: boolean) =>
    void door.enter(alone).then((left) => {
      inside.push(name);
      leave.set(name, () => {
        inside.splice(inside.indexOf(name), 1);
        left();
      });
    });
  come('a', false);
  come('b', false);
  come('alone', true);
  come('c', false);
  come('alone too', true);
  await settled();
  expect(inside).toEqual(['a', 'b']);
  leave.get('a')!();
  await settled();
  expect(inside).toEqual(['b']);
  leave.get('b')!();
  await settled();
  expect(inside).toEqual(['alone']);
  leave.get('alone')!();
  await settled();
  expect(inside).toEqual(['c']);
  leave.get('c')!();
  await settled();
  expect(inside).toEqual(['alone too']);
});
