/** The ids that can be tracked, and how many of them go into which message. */
import fc from 'fast-check';
import { InvalidIdError } from '../../client/errors';
import { idProblem } from '../../workflows/tracker/id';
import { collectIds, MESSAGE_BYTES, MESSAGE_IDS, planBatches } from '../../client/tracker/ids';
import { poolOf } from '../../workflows/tracker/plan';
import { hashId } from '../../workflows/lib/hash';

test.each([
  ['', 'the id is empty'],
  ['   ', 'the id is empty'],
  ['x'.repeat(201), 'the id has 201 characters, and 200 are the limit'],
  ['狐'.repeat(200) + '', undefined],
  ['a\nb', 'the id has a control character (U+000A) at character 2'],
  ['a\u0000', 'the id has a control character (U+0000) at character 2'],
  ['\u007f', 'the id has a control character (U+007F) at character 1'],
  ['a\ud800b', 'the id has half of a surrogate pair, which no database stores'],
  [7, 'an id must be text, not number'],
  [null, 'an id must be text, not null'],
  ['x'.repeat(200), undefined],
  ['2112000001', undefined],
  ['a b/c:d', undefined],
  ['🚀'.repeat(100), undefined],
])('%j', (id, problem) => {
  expect(idProblem(id)).toBe(problem);
});

test('every id once, in its order, and how many came again', async () => {
  expect(await collectIds(['b', 'a', 'b', 'c', 'a'])).toEqual({ ids: ['b', 'a', 'c'], duplicates: 2 });
});

test('a bad id is refused with its place', async () => {
  await expect(collectIds(['a', 'b', ''])).rejects.toThrow(new InvalidIdError('id 3', 'the id is empty'));
  await expect(collectIds(['\t'], (index) => `line ${index + 10}`)).rejects.toThrow(/^line 10: .*nothing was sent$/);
});

test('a hundred thousand ids for a hundred pools are a message or two a pool, taking turns', () => {
  const ids = Array.from({ length: 100_000 }, (_, n) => `id-${n}`);
  const batches = planBatches(ids, 100);
  expect(batches.length).toBeLessThan(300);
  expect(new Set(batches.slice(0, 100).map((batch) => batch.pool)).size).toBe(100);
});

test('any list arrives whole, each id at its pool, within the bounds of a message', () => {
  const id = fc
    .string({ minLength: 1, maxLength: 200, unit: 'grapheme' })
    .filter((text) => idProblem(text) === undefined);
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 3_000 }), fc.integer({ min: 1, max: 40 }), (ids, pools) => {
      const batches = planBatches(ids, pools);
      for (const batch of batches) {
        expect(batch.ids.length).toBeGreaterThan(0);
        expect(batch.ids.length).toBeLessThanOrEqual(MESSAGE_IDS);
        expect(Buffer.byteLength(JSON.stringify(batch.ids))).toBeLessThanOrEqual(MESSAGE_BYTES + 2);
        expect(batch.ids.every((one) => poolOf(hashId(one), pools) === batch.pool)).toBe(true);
      }
      expect(batches.flatMap((batch) => batch.ids).sort()).toEqual([...ids].sort());
    }),
    { numRuns: 50 },
  );
});

test('long ids fill a message by their bytes', () => {
  const ids = Array.from({ length: 500 }, (_, n) => `${n}`.padEnd(200, '狐'));
  const batches = planBatches(ids, 1);
  expect(batches.length).toBeGreaterThan(4);
  for (const batch of batches)
    expect(Buffer.byteLength(JSON.stringify(batch.ids))).toBeLessThanOrEqual(MESSAGE_BYTES + 2);
});
