/**
 * A job's ticks that have ended and the rows that failed in them, read from PostgreSQL; and dead
 * letters of a sweep that are handled again. Called by `handle.ts`.
 */
import { run, type Queryable } from '../../activities/lib/database';
import { ConfigError } from '../../config/errors';
import type { Band, JobState } from '../../workflows/job/contract';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { isBigint, isMicros, pageOf, pageSize, placeOf, type Page, type PageOptions } from '../page';
import { FAILED_ROWS, FAILED_ROWS_PAGE, FIND_ROWS, HISTORY, HISTORY_PAGE, RETRY_ROWS } from './queries';

export interface TickSummary {
  due: string;
  /** `schedule`, or `hand` for a run that was asked for. */
  by: 'schedule' | 'hand';
  elapsed: number;
  skipped: number;
  startedAt: string;
  endedAt: string | null;
  rows: number;
  chunks: number;
  failed: number;
  ms: number;
  /** The longest that a chunk held its rows. */
  longestMs: number | null;
  roundTripP50Ms: number | null;
  roundTripP99Ms: number | null;
  band: Band | null;
  error: string | null;
}

export interface FailedRowSummary {
  /** The columns of its key, as text. */
  key: string[];
  due: string;
  error: string;
  /** PostgreSQL's SQLSTATE, where it is one of its errors. */
  code: string | null;
  attempts: number;
  failedAt: string;
}

export async function readHistory(connections: Connections, job: string, limit: number): Promise<TickSummary[]> {
  return (await connections.read<TickRow>(HISTORY, [job, limit])).map(toTick);
}

export async function readFailedRows(
  connections: Connections,
  job: string,
  limit: number,
): Promise<FailedRowSummary[]> {
  return (await connections.read<FailedRow>(FAILED_ROWS, [job, limit])).map(toFailedRow);
}

export async function pageOfTicks(
  connections: Connections,
  job: string,
  { after, limit }: PageOptions,
): Promise<Page<TickSummary>> {
  const place = placeOf(after, isMicros) ?? null;
  const size = pageSize(limit);
  const rows = await connections.read<TickRow & { place: number }>(HISTORY_PAGE, [job, place, size + 1]);
  return pageOf(rows, size, toTick, (row) => row.place);
}

export async function pageOfFailedRows(
  connections: Connections,
  job: string,
  { after, limit }: PageOptions,
): Promise<Page<FailedRowSummary>> {
  const place = placeOf(after, isRowPlace) ?? [null, 0, 0];
  const size = pageSize(limit);
  type Row = FailedRow & { place: number; h0: string; h1: string };
  const rows = await connections.read<Row>(FAILED_ROWS_PAGE, [job, ...place, size + 1]);
  return pageOf(rows, size, toFailedRow, (row) => [row.place, row.h0, row.h1]);
}

/** When it failed, and the hashes of its key. */
const isRowPlace = (value: unknown): value is [number, string, string] =>
  Array.isArray(value) && value.length === 3 && isMicros(value[0]) && isBigint(value[1]) && isBigint(value[2]);

function toFailedRow(row: FailedRow): FailedRowSummary {
  return {
    key: row.key,
    due: iso(row.due),
    error: row.error,
    code: row.code,
    attempts: row.attempts,
    failedAt: iso(row.failed_at),
  };
}

/** For `JobHandle.retryFailed`. @throws ConfigError for a text that stands for several keys */
export async function retryRows(db: Queryable, job: string, keys: (string | string[])[] | undefined): Promise<number> {
  if (keys === undefined) return (await run(db, RETRY_ROWS, [job, null])).length;
  const lists = keys.map((key) => (Array.isArray(key) ? key : listOf(key))).filter((key) => key !== undefined);
  const typed = keys.filter((key): key is string => typeof key === 'string' && listOf(key) === undefined);
  const rows = await run<{ key: string[]; typed: string }>(db, FIND_ROWS, [job, JSON.stringify(lists), typed]);
  for (const text of typed) {
    const meant = rows.filter((row) => row.typed === text).map(({ key }) => JSON.stringify(key));
    if (meant.length > 1) throw new ConfigError([`${text} stands for several keys; name one: ${meant.join(' or ')}`]);
  }
  const found = JSON.stringify(rows.map(({ key }) => key));
  return (await run(db, RETRY_ROWS, [job, found])).length;
}

/** A key as JSON, which says where its columns end. */
function listOf(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((part) => typeof part === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}

interface TickRow {
  [column: string]: unknown;
  due: number;
  request: string | null;
  elapsed: number;
  skipped: number;
  started_at: number;
  ended_at: number | null;
  rows: number;
  chunks: number;
  failed: number;
  ms: number;
  longest_ms: number | null;
  round_trip_p50_ms: number | null;
  round_trip_p99_ms: number | null;
  band: Band | null;
  error: string | null;
}

export interface RequestedRow extends TickRow {
  state: JobState;
  rows_so_far: number;
  parts: number;
  parts_done: number;
}

interface FailedRow {
  [column: string]: unknown;
  key: string[];
  due: number;
  error: string;
  code: string | null;
  attempts: number;
  failed_at: number;
}

export function toTick(row: TickRow): TickSummary {
  return {
    due: iso(row.due),
    by: row.request === null ? 'schedule' : 'hand',
    elapsed: row.elapsed,
    skipped: row.skipped,
    startedAt: iso(row.started_at),
    endedAt: iso(row.ended_at),
    rows: row.rows,
    chunks: row.chunks,
    failed: row.failed,
    ms: row.ms,
    longestMs: row.longest_ms,
    roundTripP50Ms: row.round_trip_p50_ms,
    roundTripP99Ms: row.round_trip_p99_ms,
    band: row.band,
    error: row.error,
  };
}
