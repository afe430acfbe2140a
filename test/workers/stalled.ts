/**
 * A process whose event loop stalls, for `watchdog.test.ts`: enters an operation, then does not yield for a second and
 * a half.
 */
import { pino } from 'pino';
import { Watchdog } from '../../activities/tracker/shift/watchdog';

const watchdog = new Watchdog('node-1', pino({ level: 'info' }), 300);
watchdog.entering('t', 'quick');
void watchdog.start();
const tick = setInterval(() => watchdog.alive(), 5);
setTimeout(() => {
  watchdog.entering('t', 'endless');
  const until = Date.now() + 1_500;
  while (Date.now() < until);
  // The loop turns again; the thread says so, and this process ends.
  setTimeout(() => {
    process.stdout.write(`stalls ${watchdog.stalls}\n`);
    void watchdog.stop();
    clearInterval(tick);
  }, 400);
}, 700);
