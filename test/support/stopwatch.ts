/**
 * How long something took, without the moments in which this process was not allowed to run: for a test that says
 * 'within a second' of code that waits. A machine that stands still for a moment fails no such test. Code that keeps
 * the processor for longer than 25 ms is not measured.
 */
import { Standstill } from './standstill';

const running = new Set<Standstill>();
afterEach(() => {
  for (const standstill of running) standstill.stop();
  running.clear();
});

/** @returns the milliseconds since this call; it is read until the end of the test. */
export function stopwatch(): () => number {
  const standstill = new Standstill({ everyMs: 5, mostMs: 25 });
  const began = performance.now();
  standstill.start();
  running.add(standstill);
  return () => {
    const stoodMs = standstill.look();
    return performance.now() - began - stoodMs;
  };
}
