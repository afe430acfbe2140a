/** The judge of the bad days: what it lets pass, and what it must not let pass. */
import { Beats } from '../../../examples/eve/nodes/beats';
import { ofTheHealthy, tooLong, type Fault, type Gap } from '../../../examples/eve/nodes/gaps';
import { Keepers } from '../../../examples/eve/nodes/keepers';
import { EVERY_MS, SLACK_MS } from '../../../examples/eve/nodes/settings';

const freeze = (node: string, at: number): Fault => ({
  kind: 'freeze',
  nodes: [node],
  isOutage: false,
  at,
  until: at + 8_000,
});
const gap = (ms: number, of: Partial<Gap> = {}): Gap => ({
  id: '7',
  from: 10_000,
  to: 10_000 + ms,
  before: 'node-2',
  after: 'node-3',
  stoodStillMs: 0,
  ...of,
});
const keepers = (...taken: [node: string, at: number][]): Keepers =>
  new Keepers(
    new Map([['7', 4]]),
    taken.map(([node, at]) => ({ pool: 4, node, at })),
  );

test('an id whose node was well must not wait for another node that stands still', () => {
  const found = ofTheHealthy([gap(4_400)], [freeze('node-1', 10_500)], keepers(['node-2', 0], ['node-3', 14_300]));
  expect(found).toHaveLength(1);
});

test('a node that took the fence before it stood still is the id’s node, though it never asked', () => {
  const days = [freeze('node-1', 10_500)];
  const taken = keepers(['node-2', 0], ['node-1', 10_400], ['node-3', 14_300]);
  expect(ofTheHealthy([gap(4_400)], days, taken)).toEqual([]);
  expect(ofTheHealthy([gap(4_400, { id: 'of another pool' })], days, taken)).toHaveLength(1);
});

test('a node that had the fence before the wait or after it does not count', () => {
  const taken = keepers(['node-1', 0], ['node-2', 5_000], ['node-1', 20_000]);
  expect(ofTheHealthy([gap(4_400)], [freeze('node-1', 10_500)], taken)).toHaveLength(1);
});

test('even a wait for a node that was hit has an end', () => {
  // The second between two requests and the time-out, each with what it may be late by.
  const allowed = EVERY_MS + SLACK_MS + 3_000 + SLACK_MS;
  expect(tooLong([gap(allowed)], [freeze('node-2', 10_500)], 3_000)).toEqual([]);
  expect(tooLong([gap(allowed + 1)], [freeze('node-2', 10_500)], 3_000)).toHaveLength(1);
});

test('the time in which the machine stood still is nobody’s wait, and no more than that', async () => {
  const beats = new Beats();
  const origin = await beats.start('127.0.0.1');
  try {
    const ask = () => fetch(`${origin}/beat/7`, { headers: { 'x-node': 'node-2' } });
    await ask();
    beats.begin(Date.now());
    const until = performance.now() + EVERY_MS + SLACK_MS + 500;
    while (performance.now() < until); // This process stands still.
    await ask();
    expect(beats.gaps).toHaveLength(1);
    const [seen] = beats.gaps as [Gap];
    expect(seen.stoodStillMs).toBeGreaterThan(EVERY_MS + SLACK_MS);
    expect(seen.stoodStillMs).toBeLessThanOrEqual(seen.to - seen.from);
    expect(tooLong(beats.gaps, [], 3_000)).toEqual([]);
    expect(ofTheHealthy(beats.gaps, [], keepers())).toEqual([]);
    // As it would be if the process had run.
    const ran = [{ ...seen, stoodStillMs: 0 }];
    expect(tooLong(ran, [], 3_000)).toEqual(ran);
    expect(ofTheHealthy(ran, [], keepers())).toEqual(ran);
  } finally {
    await beats.close();
  }
});
