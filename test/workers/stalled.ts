/**
 * A process whose event loop stalls, for `watchdog.test.ts`: enters an operation, then does not yield until the
 * watchdog has said so, and for a while longer.
 */
import { pino } from 'pino';
import { Watchdog } from '../../activities/tracker/shift/watchdog';

const STALL_MS = 300;
const watchdog = new Watchdog('node-1', pino({ level: 'info' }), STALL_MS);
watchdog.entering('t', 'quick');
void watchdog.start();
const tick = setInterval(() => watchdog.alive(), 5);

function stall(): void {
  watchdog.entering('t', 'endless');
  const before = watchdog.stalls;
  const until = Date.now() + 20 * STALL_MS;
  while (watchdog.stalls === before && Date.now() < until);
  // A machine that stood still just before has had its word already.
  if (watchdog.stalls === before) return void setTimeout(stall, 50);
  const more = Date.now() + 2 * STALL_MS;
  while (Date.now() < more);
  const told = watchdog.stalls - before;
  // The loop turns again; the thread says so, and this process ends.
  setTimeout(() => {
    process.stdout.write(`told ${told}\n`);
    void watchdog.stop();
    clearInterval(tick);
  }, 400);
}
setTimeout(stall, 700);
