/**
 * Waits. By the global `setTimeout`, not by `node:timers/promises`, because the simulated worlds of the tests
 * replace that one with a clock of their own.
 * @param options `ref: false`: a process that has nothing else to do ends without waiting for it
 */
export function sleep(ms: number, options: { ref?: boolean } = {}): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    if (options.ref === false) timer.unref();
  });
}
