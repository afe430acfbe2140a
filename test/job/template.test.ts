/** Placeholders in a user's SQL, and the way back from PostgreSQL's position to the character in it. */
import { Template } from '../../activities/job/template';

test('placeholders become parameters, but not in strings, names, comments, casts or dollar quotes', () => {
  const source = `:elapsed + ':elapsed' || ":due" || $x$ :due $x$ || E'\\':due' /* :due */ :: int * :elapsed - :due -- :due`;
  const made = new Template().sql('select ').expression('set.a', source);
  expect(made.shown).toBe(
    `select $1::integer + ':elapsed' || ":due" || $x$ :due $x$ || E'\\':due' /* :due */ :: int * $1::integer - $2::timestamptz -- :due`,
  );
  const due = new Date();
  expect(made.values({ elapsed: 3, due, other: 1 })).toEqual([3, due]);
});

test('a position in the whole text is one in the option', () => {
  const made = new Template()
    .sql('update t set a = (')
    .expression('set.a', ':elapsed + b')
    .sql(') where (')
    .expression('where', 'c > d')
    .sql(')');
  const at = (word: string) => made.locate(made.shown.indexOf(word) + 1);
  expect(at('b')).toEqual({ option: 'set.a', position: 12, source: ':elapsed + b' });
  expect(made.locate(made.shown.length - 1)).toMatchObject({ option: 'where' });
  expect(made.locate(3)).toBeUndefined();
});

test('a range takes the alias that it is given', () => {
  const made = new Template().expression('sql', 'where :range(p) or :range("P q")', (alias) => `<${alias}>`);
  expect(made.shown).toBe('where <p> or <"P q">');
});
