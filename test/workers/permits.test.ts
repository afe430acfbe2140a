/** Permits to poll for shifts: given while the node wants one, and as soon as it does. */
import type { SlotReserveContext } from '@temporalio/worker';
import { ShiftPermits } from '../../workers/permits';

const CONTEXT = {} as SlotReserveContext;
const turn = () => new Promise((resolve) => setImmediate(resolve));

class Wants {
  isOpen = false;
  readonly listeners = new Set<() => void>();

  listen(changed: () => void): () => void {
    this.listeners.add(changed);
    return () => void this.listeners.delete(changed);
  }

  set(open: boolean): void {
    this.isOpen = open;
    for (const changed of this.listeners) changed();
  }
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let is = false;
  promise.then(
    () => (is = true),
    () => (is = true),
  );
  await turn();
  return is;
}

let wants: Wants;
let permits: ShiftPermits;
beforeEach(() => {
  wants = new Wants();
  permits = new ShiftPermits(wants);
});
afterEach(() => expect(wants.listeners.size).toBe(0));

test('a permit is given at once while the node wants shifts', async () => {
  wants.isOpen = true;
  expect(await permits.reserveSlot(CONTEXT, new AbortController().signal)).toEqual({});
});

test('one that waits is given as soon as the node does, and not for a change to no', async () => {
  const permit = permits.reserveSlot(CONTEXT, new AbortController().signal);
  wants.set(false);
  expect(await settled(permit)).toBe(false);
  wants.set(true);
  expect(await permit).toEqual({});
});

test('all that wait are given theirs', async () => {
  const { signal } = new AbortController();
  const both = Promise.all([permits.reserveSlot(CONTEXT, signal), permits.reserveSlot(CONTEXT, signal)]);
  wants.set(true);
  expect(await both).toHaveLength(2);
});

test('one that the SDK does not want any more is given up with its own reason', async () => {
  const abort = new AbortController();
  const permit = permits.reserveSlot(CONTEXT, abort.signal);
  const reason = new Error('not needed');
  abort.abort(reason);
  await expect(permit).rejects.toBe(reason);
  // Also one that was not wanted from the start.
  wants.isOpen = true;
  await expect(permits.reserveSlot(CONTEXT, abort.signal)).rejects.toBe(reason);
});

test('nothing skips the queue', () => {
  wants.isOpen = true;
  expect(permits.tryReserveSlot()).toBeNull();
});
