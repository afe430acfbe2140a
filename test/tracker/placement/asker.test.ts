/** The ask of a node from its beginning to its end: what of it is still to come, when it is over, and who refused. */
import { Asker } from '../../../activities/tracker/placement/asker';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import type { HandOver, PlacementRow } from '../../../activities/tracker/placement/row';
import { nodeWith, times, type DrawnCluster } from './clusters';

const NOW = 1_700_000_000_000;
const { askMs, refusedMs, tooMuchSilenceMs, handOverMs, clockErrorMs } = PLACEMENT;

/** An empty node beside two with ten pools each: its share is 667. */
const cluster: DrawnCluster = [nodeWith('me', []), nodeWith('a', times(10, 100)), nodeWith('b', times(10, 100))];
const row = (name: string, more: Partial<PlacementRow> = {}): PlacementRow =>
  ({ name, up: true, out: [], done: {}, ...more }) as unknown as PlacementRow;
const rows = (...all: PlacementRow[]) => new Map(all.map((one) => [one.name, one]));
const both = rows(row('a'), row('b'));
const sent = (pool: string, to: string, sentAt: number): HandOver => ({ pool, to, size: 100, kind: 'eve', sentAt });

function asking(): { asker: Asker; id: number; from: Record<string, number> } {
  const asker = new Asker('me');
  expect(asker.step(cluster, both, NOW)).toBe(true);
  const { id, from } = asker.written()!;
  expect(from).toEqual({ a: 300, b: 300 });
  return { asker, id, from };
}

test('what comes from a node that was asked was asked for, until the last of it can have come', () => {
  const { asker } = asking();
  expect(['a', 'b', 'c', 'me'].map((name) => asker.hasAsked(name, NOW))).toEqual([true, true, false, false]);
  const over = NOW + askMs + 1;
  asker.step(cluster, both, over);
  expect(asker.written()).toBeNull();
  expect([asker.hasAsked('a', over + handOverMs - 1), asker.hasAsked('a', over + handOverMs)]).toEqual([true, false]);
  expect(asker.hasAsked('c', over)).toBe(false);
  // It is forgotten, also where nobody asks for it.
  asker.step(cluster, rows(), over + handOverMs);
  expect(asker.hasAsked('a', over)).toBe(false);
});

test('an ask that was dropped is over, and the next one is another', () => {
  const { asker, id } = asking();
  asker.drop();
  expect([asker.written(), asker.hasAsked('a', NOW), asker.wants(both).size]).toEqual([null, false, 0]);
  expect(asker.step(cluster, both, NOW)).toBe(true);
  expect(asker.written()!.id).toBe(id + 1);
});

test('each pool that comes keeps the ask alive, unless it is from a node that was not asked', () => {
  const { asker, id, from } = asking();
  asker.arrived('a/1', 100, 'a', NOW + 1_000);
  asker.arrived('c/1', 100, 'c', NOW + askMs);
  expect(asker.wants(both)).toEqual(new Map(Object.entries({ ...from, a: from.a! - 100 })));
  asker.step(cluster, both, NOW + askMs + 1);
  expect(asker.written()!.id).toBe(id);
  asker.step(cluster, both, NOW + 1_000 + askMs);
  expect(asker.written()!.id).toBe(id);
  asker.step(cluster, both, NOW + 1_000 + askMs + 1);
  expect(asker.written()?.id).not.toBe(id);
});

test('what is on its way counts once: here or there, and only what was sent to it since it asked', () => {
  const { asker, from } = asking();
  const wantedOf = (...out: HandOver[]) => asker.wants(rows(row('a', { out }), row('b'))).get('a');
  expect(wantedOf(sent('p/1', 'me', NOW + 100))).toBe(from.a! - 100);
  expect(wantedOf(sent('p/1', 'b', NOW + 100))).toBe(from.a!);
  // Its clock may be a little behind.
  expect(wantedOf(sent('p/1', 'me', NOW - clockErrorMs + 1))).toBe(from.a! - 100);
  expect(wantedOf(sent('p/1', 'me', NOW - clockErrorMs))).toBe(from.a!);
  asker.arrived('p/1', 100, 'a', NOW + 200);
  expect(wantedOf(sent('p/1', 'me', NOW + 100))).toBe(from.a! - 100);
  expect(wantedOf(sent('p/1', 'me', NOW + 100), sent('p/2', 'me', NOW + 100))).toBe(from.a! - 200);
});

test('who gave nothing is not asked for ten seconds; who gave is asked again at once', () => {
  const { asker } = asking();
  asker.arrived('a/1', 100, 'a', NOW);
  const over = NOW + askMs + 1;
  expect(asker.step(cluster, both, over)).toBe(true);
  expect(Object.keys(asker.written()!.from)).toEqual(['a']);
  const later = over + askMs + 1;
  expect(asker.step(cluster, both, later)).toBe(false);
  expect(asker.step(cluster, both, over + refusedMs - 1)).toBe(false);
  expect(asker.step(cluster, both, over + refusedMs)).toBe(true);
  expect(Object.keys(asker.written()!.from)).toEqual(['b']);
});

test('a giver whose pools are on their way has not refused', () => {
  const { asker } = asking();
  const onTheWay = rows(row('a', { out: [sent('a/1', 'me', NOW + 2_000)] }), row('b'));
  expect(asker.step(cluster, onTheWay, NOW + askMs + 1)).toBe(true);
  expect(Object.keys(asker.written()!.from)).toEqual(['a']);
});

test('an ask is over as soon as everybody who was asked has given, has nothing, is drained or gone', () => {
  const ended = (of: (id: number) => Map<string, PlacementRow>): boolean => {
    const { asker, id } = asking();
    asker.step(cluster, of(id), NOW + 100);
    return asker.written()?.id !== id;
  };
  const nothing = (id: number) => ({ done: { me: id } });
  expect(ended((id) => rows(row('a', nothing(id)), row('b', nothing(id))))).toBe(true);
  expect(ended((id) => rows(row('a', nothing(id)), row('b', { up: false })))).toBe(true);
  expect(ended((id) => rows(row('a', nothing(id))))).toBe(true);
  expect(ended((id) => rows(row('a', nothing(id)), row('b')))).toBe(false);
  // That was the answer to an earlier ask, or to another node.
  expect(ended((id) => rows(row('a', nothing(id)), row('b', nothing(id - 1))))).toBe(false);
  expect(ended((id) => rows(row('a', nothing(id)), row('b', { done: { other: id } })))).toBe(false);
});

test('all that was asked for has come, but for the noise of floating point: the ask is over', () => {
  const { asker, id, from } = asking();
  for (const giver of ['a', 'b']) asker.arrived(`${giver}/all`, from[giver]! * (1 - 1e-9), giver, NOW);
  expect(asker.wants(both)).toEqual(new Map());
  asker.step(cluster, both, NOW + 100);
  expect(asker.written()?.id).not.toBe(id);
  const { asker: other, from: again } = asking();
  other.arrived('a/most', again.a! * (1 - 1e-4), 'a', NOW);
  expect(other.wants(both).get('a')).toBeCloseTo(again.a! * 1e-4);
});

test('an ask that would bring too much is dropped; nobody has refused by that, and none is made for a while', () => {
  const { asker } = asking();
  // Half of what there was has gone: the share is 333, and 600 are to come.
  const less: DrawnCluster = [nodeWith('me', []), nodeWith('a', times(5, 100)), nodeWith('b', times(5, 100))];
  expect(asker.step(less, both, NOW + 100)).toBe(false);
  expect(asker.written()).toBeNull();
  expect(asker.step(cluster, both, NOW + 100 + tooMuchSilenceMs - 1)).toBe(false);
  expect(asker.step(cluster, both, NOW + 100 + tooMuchSilenceMs)).toBe(true);
  expect(Object.keys(asker.written()!.from).sort()).toEqual(['a', 'b']);
});

test('who wants nothing asks nobody', () => {
  const asker = new Asker('me');
  const even: DrawnCluster = [nodeWith('me', times(10, 100)), nodeWith('a', times(10, 100))];
  expect(asker.step(even, both, NOW)).toBe(false);
  expect([asker.written(), asker.wants(both).size]).toEqual([null, 0]);
});
