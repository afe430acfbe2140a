/** A turn's sends, pushes, writes and timers are bounded in bytes of UTF-8, to the byte. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { TurnError } from '../../../activities/tracker/member/turn';
import { mail, TestPool } from './kit';

const turnOf = (turnBytes: number) => {
  const test = new TestPool({ ...MEMBER, turnBytes });
  test.read(mail({ replyTo: { tracker: 't', id: 'b' } }));
  return test.begin().context;
};

// Eight bytes each: two quotes, and three letters of two.
const TEXT = 'жжж';

test.each<[string, (context: ReturnType<typeof turnOf>) => unknown]>([
  ['sends', (context) => context.send('b', TEXT)],
  ['pushes', (context) => context.push('news', TEXT)],
  ['sets timers', (context) => context.after(1, TEXT)],
])('a turn that %s may fill its bound to the byte, whatever it replies', (_name, act) => {
  const exact = turnOf(24);
  exact.reply('x'.repeat(100));
  for (let n = 0; n < 3; n++) act(exact);
  const less = turnOf(23);
  act(less);
  act(less);
  expect(() => act(less)).toThrow(TurnError);
  expect(() => act(less)).toThrow('all that one turn sends has 24 bytes as JSON; at most 23 are taken');
});

test('a statement of ctx.write counts with its values', () => {
  const sql = 'insert into x values ($1)';
  const bytes = Buffer.byteLength(JSON.stringify([sql, TEXT]));
  turnOf(bytes).write(sql, [TEXT]);
  expect(() => turnOf(bytes - 1).write(sql, [TEXT])).toThrow(TurnError);
});
