/**
 * Nodes of which one hears nothing good: one that did not let a pool go when it came back, and one that says itself
 * that Temporal does not answer it. They are counted, and nothing is sent to them.
 */
import { Placer, type NodeSettings } from '../../../activities/tracker/placement/placer';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import type { PlacementRow, WrittenRow } from '../../../activities/tracker/placement/row';
import { SETTINGS } from './settings';

const NOW = 1_700_000_000_000;
const BORN = { hops: 0, waitedMs: 0 };
const pool = (at: number): PlacedPool => ({ id: `eve/${at}`, kind: 'eve', size: 100, members: 100 });
const at = (row: WrittenRow, ms: number): PlacementRow => ({ ...row, at: ms });
const seen = (placer: Placer, name: string, nowMs: number) => placer.view(nowMs).find((peer) => peer.name === name);

function node(name: string, pools = 0, over: Partial<NodeSettings> = {}): Placer {
  const placer = new Placer(name, { ...SETTINGS, ...over });
  for (let n = 0; n < pools; n++) placer.offered(pool(n), { hops: 2, waitedMs: 0 }, NOW - 60_000, 0);
  return placer;
}

test('nothing is sent to a node of which a pool came back without its word, until its row is newer', () => {
  const me = node('me', 5);
  const frozen = node('frozen').row(NOW);
  me.observe([at(frozen, NOW)], NOW);
  expect(me.offered(pool(9), BORN, NOW + 10, 0)).toEqual({ answer: 'redirect', to: 'frozen' });
  me.suspect('frozen', NOW + 20);
  me.observe([at(frozen, NOW + 20)], NOW + 500);
  expect(seen(me, 'frozen', NOW + 500)).toMatchObject({ stale: true });
  expect(me.offered(pool(10), BORN, NOW + 510, 0)).toEqual({ answer: 'take' });
  me.observe([at(frozen, NOW + 1_000)], NOW + 1_010);
  expect(seen(me, 'frozen', NOW + 1_010)).toMatchObject({ stale: false });
});

test('two at once are told apart: the one that writes again is cleared, the other is not, nor is this node itself', () => {
  const me = node('me', 5);
  const [one, other] = [node('one').row(NOW), node('other').row(NOW)];
  me.observe([at(one, NOW), at(other, NOW)], NOW);
  for (const name of ['one', 'other', 'me']) me.suspect(name, NOW + 10);
  expect(me.view(NOW + 20).map(({ name, stale }) => [name, stale])).toEqual([
    ['me', false],
    ['one', true],
    ['other', true],
  ]);
  expect(me.offered(pool(9), BORN, NOW + 30, 0)).toEqual({ answer: 'take' });
  me.observe([at(one, NOW + 900), at(other, NOW)], NOW + 950);
  expect(seen(me, 'one', NOW + 950)).toMatchObject({ stale: false });
  expect(seen(me, 'other', NOW + 950)).toMatchObject({ stale: true });
  expect(me.offered(pool(10), BORN, NOW + 960, 0)).toEqual({ answer: 'redirect', to: 'one' });
});

test('a shift that is tried again stays where it comes, however much that node has; it is given away by asks', () => {
  const me = node('me', 5);
  me.observe([at(node('peer').row(NOW), NOW)], NOW);
  expect(me.offered(pool(9), { ...BORN, retried: true }, NOW + 10, 0)).toEqual({ answer: 'take' });
  expect(me.offered(pool(10), BORN, NOW + 20, 0)).toEqual({ answer: 'redirect', to: 'peer' });
});

test('a node that cannot reach Temporal is counted and given nothing, and asks for nothing', () => {
  const me = node('me', 5);
  const cut = node('cut', 0, { cutOff: true });
  expect(cut.observe([at(me.row(NOW), NOW)], NOW)).toBe(false);
  expect(cut.row(NOW).ask).toBeNull();
  me.observe([at(cut.row(NOW), NOW)], NOW);
  expect(seen(me, 'cut', NOW)).toMatchObject({ load: 0, stale: true });
  expect(me.offered(pool(9), BORN, NOW + 10, 0)).toEqual({ answer: 'take' });
  // As soon as it answers again.
  cut.settings = { ...cut.settings, cutOff: false };
  expect(cut.observe([at(me.row(NOW), NOW)], NOW + 1_000)).toBe(true);
  me.observe([at(cut.row(NOW + 1_000), NOW + 1_000)], NOW + 1_000);
  expect(me.offered(pool(10), BORN, NOW + 1_010, 0)).toEqual({ answer: 'redirect', to: 'cut' });
});
