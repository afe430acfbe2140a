/**
 * Ctrl-C of the verbs that run until they are told to end: the first ends them cleanly, the second at once. Also
 * SIGTERM, and SIGHUP of a closed terminal.
 */
import { remark } from './output';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Fires at the first signal. Listens from when it is made, so that a slow start can be ended too. */
export function interruption(what: string): AbortSignal {
  const ending = new AbortController();
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (ending.signal.aborted) {
        remark('Ending at once; what was under way is taken up again by the next start.');
        process.exit(130);
      }
      remark(what);
      ending.abort();
    });
  }
  return ending.signal;
}

/** Resolves when the signal has fired. */
export function interrupted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
