/**
 * What a pass hands to the code that does its kind of work (`regen.ts`, `decay.ts`, `sweep.ts`): the tick, the fence's token, what may end
 * it, and where it counts. Made by `pass.ts`.
 */
import type { Logger } from 'pino';
import type { PassEnd } from '../../workflows/population/contract';
import type { JobOptions } from '../../workflows/population/options';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../failures';
import type { Database } from '../store/database';
import { tokenOf, type OpenTick } from '../store/ticks';
import type { TableFacts } from './catalog';
import type { JobMeter } from './telemetry';

/** What ends a pass before its tick has ended; the first reason counts. */
export class Ending {
  reason: PassEnd | undefined;
  private readonly controller = new AbortController();

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  end(reason: PassEnd): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.controller.abort(new Error(`the pass ends: ${reason}`));
  }

  /** Sleeps, or returns early when the pass is to end. */
  async sleep(ms: number): Promise<void> {
    if (ms <= 0 || this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.signal.addEventListener('abort', wake);
    });
  }
}

export interface PassWork {
  job: string;
  token: number;
  node: string;
  tick: OpenTick;
  options: JobOptions;
  /** Chunks or pages at once: what the options say, as far as this worker has connections. */
  streams: number;
  table: TableFacts;
  database: Database;
  ending: Ending;
  meter: JobMeter;
  log: Logger;
}

/** What a kind of work found out beside its progress rows. */
export interface WorkResult {
  /** The size of a chunk that fits, for the next tick. */
  chunkRows?: number;
  /** Nothing of the tick is left: it ends, also when the pass was asked to. */
  complete?: boolean;
  /** Rows to try again, at this time. Epoch milliseconds. */
  retryAt?: number;
  /** The tick ends, although not all of it could be done. */
  error?: string;
}

/**
 * Begins every transaction that changes rows. It does not wait for the disk: effect and progress are lost together or not at all, and
 * the end of the tick, which does wait, makes everything before it durable. A holder that freezes in between lets go of its locks.
 */
export const BEGIN = 'begin; set local synchronous_commit = off; set local idle_in_transaction_session_timeout = 10000';

/** After a write that found nothing to write to: is it another holder's job by now? */
export async function stillHeld({ database, job, token }: PassWork): Promise<boolean> {
  return (await database.transaction((db) => tokenOf(db, job))) === token;
}

export function fenced(job: string): Error {
  return failure(ErrorType.Fenced, `job ${job} has a newer holder`);
}

/** What is wrong with a row, not with the statement: data exceptions, constraints, errors raised by triggers and functions. */
export function isRowError(error: unknown): error is Error & { code: string } {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^(22|23|P0)/.test(code);
}

/** Two transactions in each other's way: the same again may well succeed. */
export function isConflict(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === '40001' || code === '40P01' || code === '55P03';
}
