/**
 * How long something took, without the moments in which this process was not allowed to run: for a test that says
 * 'within a second' of code that waits. A machine that stands still for a moment fails no such test.
 */

/** So often it looks whether the process runs. */
const LOOK_MS = 5;
/** A longer time between two looks is the machine's. Code that keeps the processor for longer is not measured. */
const MOST_MS = 25;

const running = new Set<NodeJS.Timeout>();
afterEach(() => {
  for (const timer of running) clearInterval(timer);
  running.clear();
});

/** @returns the milliseconds since this call; it is read until the end of the test. */
export function stopwatch(): () => number {
  let [passed, last] = [0, performance.now()];
  const look = (): number => {
    const now = performance.now();
    passed += Math.min(now - last, MOST_MS);
    last = now;
    return passed;
  };
  running.add(setInterval(look, LOOK_MS).unref());
  return look;
}
