/** The labels of the one worker of a development stack. */
import { labelsOf } from '../../cli/declared';
import { defineTracker, resolveConfig } from '../../exports';

test('it keeps the pools of every tracker of its config: it has each label once, and none where none is wanted', () => {
  const tracker = (name: string, on?: string) =>
    defineTracker({ name, placement: { on }, operations: { look: { every: '1s', run: () => ({ value: 1 }) } } });
  const trackers = [tracker('a', 'gpu'), tracker('b'), tracker('c', 'eu-1'), tracker('d', 'gpu')];
  expect(labelsOf(resolveConfig({ trackers }))).toEqual(['gpu', 'eu-1']);
  expect(labelsOf(resolveConfig({ trackers: [tracker('b')] }))).toEqual([]);
});
