/**
 * The part of `status` about jobs, all computed by PostgreSQL, so it works while Temporal is away. Called by
 * `job/handle.ts` and `status.ts`.
 */
import type { Band, JobState } from '../../workflows/job/contract';
import { withJobChanges, type JobKind, type JobOptions, type Schedule } from '../../workflows/job/options';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { JOBS } from './queries';
import type { OptionChanges } from '../../workflows/lib/options';

export interface JobSummary {
  name: string;
  kind: JobKind;
  state: JobState;
  schedule: Schedule;
  /**
   * The tick that has begun and not ended. `share`: 0 to 1, of its parts; `error`: why the last pass could not go on.
   */
  open: {
    due: string;
    elapsed: number;
    rows: number;
    share: number;
    node: string | null;
    error: string | null;
  } | null;
  last: {
    due: string;
    endedAt: string;
    rows: number;
    failed: number;
    ms: number;
    band: Band;
    error: string | null;
  } | null;
  /** Rows that failed: in the latest tick, or dead letters of a sweep. */
  failedRows: number;
  /** Rows of a sweep that are being handled, or wait for another attempt. */
  claimed: number;
}

export interface JobRow {
  [column: string]: unknown;
  name: string;
  kind: JobKind;
  state: JobState;
  options: JobOptions;
  changes: OptionChanges;
  node: string | null;
  version: number;
  open_due: number | null;
  open_elapsed: number;
  open_error: string | null;
  open_rows: number;
  parts: number;
  parts_done: number;
  last_due: number | null;
  last_rows: number;
  last_failed: number;
  last_ms: number;
  last_band: Band;
  last_error: string | null;
  last_ended_at: number;
  failed_rows: number;
  claimed: number;
}

export function readJobs(connections: Connections, job: string | undefined, as: 'rows'): Promise<JobRow[]>;
export function readJobs(connections: Connections, job?: string): Promise<JobSummary[]>;
/** @param job only this one; without it, all. */
export async function readJobs(connections: Connections, job?: string, as?: 'rows'): Promise<JobRow[] | JobSummary[]> {
  // A row decides what a command may do; a summary is only shown.
  const rows = await connections[as ?? 'read']<JobRow>(JOBS, [job ?? null]);
  return as === 'rows' ? rows : rows.map(summarize);
}

function summarize(row: JobRow): JobSummary {
  const share = row.parts > 0 ? row.parts_done / row.parts : 0;
  return {
    name: row.name,
    kind: row.kind,
    state: row.state,
    schedule: withJobChanges(row.options, row.changes).schedule,
    open:
      row.open_due === null
        ? null
        : {
            due: iso(row.open_due),
            elapsed: row.open_elapsed,
            rows: row.open_rows,
            share,
            node: row.node,
            error: row.open_error,
          },
    last:
      row.last_due === null
        ? null
        : {
            due: iso(row.last_due),
            endedAt: iso(row.last_ended_at),
            rows: row.last_rows,
            failed: row.last_failed,
            ms: row.last_ms,
            band: row.last_band,
            error: row.last_error,
          },
    failedRows: row.failed_rows,
    claimed: row.claimed,
  };
}
