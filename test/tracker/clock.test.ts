/** The node's clock begins as the database's and never jumps; what goes to the store and comes from it follows. */
import { performance } from 'node:perf_hooks';
import { Clock } from '../../activities/tracker/shift/clock';

let monotonic = 50;
let clock: Clock;

beforeEach(() => {
  monotonic = 50;
  jest.spyOn(performance, 'now').mockImplementation(() => monotonic);
  jest.spyOn(Date, 'now').mockReturnValue(1_000_000);
  clock = new Clock();
});
afterEach(() => jest.restoreAllMocks());

/** A reading that took `ms` on the way. */
function read(databaseMs: number, ms: number): void {
  const askedAt = clock.now();
  monotonic += ms;
  clock.set(databaseMs, askedAt);
}

test('before the first reading it is the machine’s own time, and runs', () => {
  expect(clock.now()).toBe(1_000_000);
  monotonic += 250;
  expect(clock.now()).toBe(1_000_250);
});

test('the first reading holds however small its difference, taken at the middle of its way', () => {
  read(1_000_040, 20);
  expect(clock.now()).toBe(1_000_050);
});

test('a worker whose clock is wrong by an hour works by the database’s', () => {
  read(4_600_000, 10);
  expect(clock.now()).toBe(4_600_005);
});

test('later differences up to 100 ms are noise; a larger one moves what the store has, and no time in memory', () => {
  read(1_000_000, 0);
  read(1_000_100, 0);
  expect(clock.toStore(clock.now())).toBe(1_000_000);
  read(1_000_101, 0);
  expect(clock.toStore(clock.now())).toBe(1_000_101);
  read(999_000, 0);
  expect(clock.toStore(clock.now())).toBe(999_000);
  expect(clock.fromStore(999_500)).toBe(1_000_500);
  expect(clock.now()).toBe(1_000_000);
});

test('TR-M3: a failover to a database whose clock is a minute off moves no due time', () => {
  read(1_000_000, 0);
  const due = clock.fromStore(1_005_000);
  read(1_060_000, 4);
  expect(due - clock.now()).toBe(4_996);
  expect(clock.toStore(clock.now())).toBe(1_060_002);
});

test('TR-M4: a reading that was long on its way bends nothing, unless it cannot be right', () => {
  read(1_000_000, 0);
  // A collection of garbage after the answer had come, before it was read.
  read(1_000_000, 2_000);
  expect(clock.toStore(clock.now())).toBe(1_002_000);
  read(1_004_000, 2_000);
  expect(clock.toStore(clock.now())).toBe(1_004_000);
  read(1_010_000, 2_000);
  expect(clock.toStore(clock.now())).toBe(1_011_000);
});

test('a time of the machine’s clock is as far away by this one, however wrong the machine’s is', () => {
  read(4_600_000, 0);
  expect(clock.ofMachine(1_000_500)).toBe(4_600_500);
  read(4_600_090, 0);
  expect(clock.ofMachine(1_000_500)).toBe(4_600_500);
});
