/** A row of another release, or of a person in psql, stops nobody's placement. */
import fc from 'fast-check';
import { Placer } from '../../../activities/tracker/placement/placer';
import { readRow } from '../../../activities/tracker/placement/row';
import { histories } from '../../support/simulate';
import { SETTINGS } from './settings';

const NOW = 1_700_000_000_000;
const pool = { id: 'eve/1', kind: 'eve', size: 100, members: 1_000 };

function written(): Record<string, unknown> {
  const peer = new Placer('peer', SETTINGS);
  peer.offered(pool, { hops: 2, waitedMs: 0 }, NOW, 0);
  return JSON.parse(JSON.stringify(peer.row(NOW))) as Record<string, unknown>;
}

test('what was written is read as it was', () => {
  expect(readRow(written(), NOW)).toEqual({ ...written(), at: NOW });
});

test('whatever the rows are, a node goes on', () => {
  const anything = fc.anything({ withNullPrototype: true });
  const broken = fc.record({ field: fc.constantFrom(...Object.keys(written())), value: anything });
  fc.assert(
    fc.property(fc.array(broken, { maxLength: 4 }), anything, (fields, nonsense) => {
      const row = { ...written(), ...Object.fromEntries(fields.map(({ field, value }) => [field, value])) };
      const rows = [readRow(row, NOW), readRow(nonsense, NOW)].filter((one) => one !== undefined);
      const me = new Placer('me', SETTINGS);
      me.observe(rows, NOW);
      const { answer } = me.offered({ ...pool, id: 'eve/2' }, { hops: 0, waitedMs: 0 }, NOW, 0.5);
      expect(['take', 'redirect']).toContain(answer);
      me.moves(NOW);
      const { load, coming } = me.view(NOW)[0];
      expect(Number.isFinite(load) && Number.isFinite(coming)).toBe(true);
      JSON.stringify(me.row(NOW));
    }),
    histories(300),
  );
});

test.each([
  ['nothing', undefined],
  ['a text', 'row'],
  ['a list', []],
  ['a row without a load', { name: 'n', shifts: 1, weight: 1 }],
  ['a weight of nothing', { name: 'n', load: 1, shifts: 1, weight: 0 }],
  ['a load below nothing', { name: 'n', load: -1, shifts: 1, weight: 1 }],
])('%s is not a row', (_what, value) => {
  expect(readRow(value, NOW)).toBeUndefined();
});

test('a row of an older release that knows less is a node that takes nothing', () => {
  expect(readRow({ name: 'old', load: 10, shifts: 1, weight: 1 }, NOW)).toMatchObject({
    up: false,
    keeps: [],
    out: [],
    ask: null,
  });
});
