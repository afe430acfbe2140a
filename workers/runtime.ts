/**
 * The SDK's runtime, which a process installs once: its logs go to ours, its metrics to a port of loopback that
 * `metrics.ts` reads.
 */
import { makeTelemetryFilterString, Runtime, type LogLevel } from '@temporalio/worker';
import type { Logger } from 'pino';
import { HALF_TASK } from '../workflows/interceptors';
import { freePort } from './metrics';

/** With a task that could not be begun, the SDK logs all of it, its input in clear where there is no codec. */
const UNSHOWN = { taskToken: undefined, task: undefined, taskEncoded: undefined };

/** Warnings of what is so on purpose: shifts and activities have SDK workers of their own, without workflows. */
const MEANT = new Set(['No workflows registered, not polling for workflow tasks']);

/** The same, or a query that was refused and may be asked again. */
const isMeant = (message: string, { failure }: { failure?: unknown } = {}): boolean =>
  MEANT.has(message) || String(failure).includes(HALF_TASK);

let installed: Promise<number> | undefined;

/** The port of the SDK's own metrics. */
export function installRuntime(log: Logger): Promise<number> {
  return (installed ??= install(log));
}

async function install(log: Logger): Promise<number> {
  const port = await freePort();
  const write = (level: LogLevel, message: string, meta?: object): void => {
    const shown = level === 'WARN' && isMeant(message, meta) ? 'DEBUG' : level;
    log[PINO_LEVEL[shown]]({ ...meta, ...UNSHOWN, sdk: true }, message);
  };
  Runtime.install({
    // The verbs handle signals themselves: shifts are handed back before the worker stops.
    shutdownSignals: [],
    logger: {
      log: (level, message, meta) => write(level, message, meta),
      trace: (message, meta) => write('TRACE', message, meta),
      debug: (message, meta) => write('DEBUG', message, meta),
      info: (message, meta) => write('DEBUG', message, meta),
      warn: (message, meta) => write('WARN', message, meta),
      error: (message, meta) => write('ERROR', message, meta),
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      metrics: {
        prometheus: {
          bindAddress: `127.0.0.1:${port}`,
          countersTotalSuffix: true,
          unitSuffix: true,
          useSecondsForDurations: true,
        },
      },
    },
  });
  return port;
}

const PINO_LEVEL = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const;
