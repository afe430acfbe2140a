/** Errors that say the same of different things are one text; what says something else stays apart. */
import fc from 'fast-check';
import { foldAll, foldError, patternOf } from '../../client/fold-error';
import { histories } from '../support/simulate';

test.each([
  ['HttpError: 503 of /characters/2112000001/location', 'HttpError: # of /characters/#/location'],
  ['timed out after 5000 ms', 'timed out after # ms'],
  ['connect ECONNREFUSED 10.0.3.7:5432', 'connect ECONNREFUSED #'],
  ['no order 6f9619ff-8b86-d011-b42d-00c04fc964ff', 'no order <uuid>'],
  ['block 0x8F3a2 of 1,234.5 is gone', 'block <hex> of # is gone'],
  ['no object 507f1f77bcf86cd799439011', 'no object <hex>'],
  ['two\nlines   and a\ttab', 'two lines and a tab'],
  ['defaced accede', 'defaced accede'],
  ['', ''],
])('%j is %j', (text, folded) => expect(foldError(text)).toBe(folded));

const piece = fc.oneof(
  fc.string(),
  fc.nat().map(String),
  fc.uuid(),
  fc.constantFrom('0x1f', ' ', '…', '#', '<hex>', '1.2'),
);
const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));

test('a folded text is short, has no digits, and folds to itself', () => {
  fc.assert(
    fc.property(text, (given) => {
      const folded = foldError(given);
      expect(folded.length).toBeLessThanOrEqual(200);
      expect(folded).not.toMatch(/\d/);
      expect(foldError(folded)).toBe(folded);
    }),
    histories(500),
  );
});

test('texts that differ in a number alone are one', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(), fc.nat(), (before, after, one, other) => {
      expect(foldError(`${before} ${one} ${after}`)).toBe(foldError(`${before} ${other} ${after}`));
    }),
    histories(500),
  );
});

test('nothing is lost in the groups, and a text a megabyte long takes no time to speak of', () => {
  const rows = fc.array(fc.record({ error: text, count: fc.integer({ min: 1, max: 1_000 }), example: fc.nat() }));
  fc.assert(
    fc.property(rows, (given) => {
      const groups = foldAll(given);
      const sum = (of: readonly { count: number }[]): number => of.reduce((total, { count }) => total + count, 0);
      expect(sum(groups)).toBe(sum(given));
      expect(new Set(groups.map((group) => group.text)).size).toBe(groups.length);
    }),
    histories(200),
  );
  expect(foldError('a1'.repeat(500_000)).length).toBeLessThanOrEqual(200);
});

describe('the pattern of a folded text', () => {
  test('finds what folds to it, and nothing else', () => {
    const words = fc.constantFrom(
      'no',
      'HttpError:',
      '12',
      '3.4',
      '0x1f',
      'of',
      '/a/',
      '99',
      '(x)',
      '[',
      '*',
      '\\',
      '$',
      '  ',
      '{2}',
    );
    const sentence = fc.array(fc.oneof(words, fc.uuid()), { maxLength: 8 }).map((all) => all.join(' '));
    fc.assert(
      fc.property(sentence, sentence, (one, other) => {
        const pattern = new RegExp(patternOf(foldError(one)));
        expect(pattern.test(one)).toBe(true);
        expect(pattern.test(other)).toBe(foldError(other) === foldError(one));
      }),
      histories(1_000),
    );
  });

  test('of a text that was cut, by its beginning', () => {
    const long = `no ${'x'.repeat(500)} 12`;
    expect(new RegExp(patternOf(foldError(long))).test(long)).toBe(true);
    expect(new RegExp(patternOf(foldError(long))).test(`no ${'x'.repeat(100)}`)).toBe(false);
  });

  test('whatever text is given, it is a pattern', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (given) => {
        expect(() => new RegExp(patternOf(given))).not.toThrow();
      }),
      histories(500),
    );
  });
});
