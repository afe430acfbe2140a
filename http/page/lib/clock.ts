/**
 * The server's time by the clock of this browser. Times in answers are the server's, and the two clocks may be hours
 * apart: an age that is reckoned by the browser's would be wrong by as much. Told by `live.ts` with every state; read
 * by whatever says an age or asks for a range.
 */

/** The browser's clock is so far behind the server's. Milliseconds. */
let aheadMs = 0;
/** The browser's clock was set, or the computer slept: what was measured before says nothing. */
const JUMP_MS = 5_000;

/**
 * A state came that the server wrote at this time. The one that was the shortest on its way says the most, so less is
 * only believed where it is much less.
 * @param isFirst of a connection: nothing of before counts
 */
export function hearTime(serverAt: number, now: number, isFirst: boolean): void {
  if (!Number.isFinite(serverAt)) return;
  const measured = serverAt - now;
  if (isFirst || measured > aheadMs || aheadMs - measured > JUMP_MS) aheadMs = measured;
}

/** Epoch milliseconds, by the server's clock. */
export function serverNow(): number {
  return Date.now() + aheadMs;
}
