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

/**
 * Waits for the work, and no longer than that; the work goes on, and how it ends is nobody's business then.
 * @returns whether it has succeeded by then
 */
export async function isDoneWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const done = work.then(
    () => true,
    () => false,
  );
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}
