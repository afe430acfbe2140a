/** A buffer's row, and what its shards and pages of `init` report. Written by `activities/buffer`; read by the client's `status`. */
import type { BufferRunState, InitPageRead, ShardStatus } from '../../workflows/buffer/contract';
import type { BufferOptions } from '../../workflows/buffer/options';
import { run, type Queryable, type Statement } from './database';

export interface BufferRow {
  name: string;
  state: BufferRunState;
  options: BufferOptions;
  version: number;
}

const SELECT: Statement = {
  name: 'buffer-select',
  text: `select name, state, options, version::float8 as version from longwatch.buffer where name = $1`,
};
const DECLARE: Statement = {
  name: 'buffer-declare',
  text: `insert into longwatch.buffer as b (name, options) values ($1, $2)
         on conflict (name) do update set options = excluded.options, version = b.version + 1
         where b.options <> excluded.options
         returning version::float8 as version`,
};
const SET_STATE: Statement = {
  name: 'buffer-set-state',
  text: `update longwatch.buffer set state = $2, version = version + 1 where name = $1 and state <> $2
         returning version::float8 as version`,
};
const NAMES: Statement = { name: 'buffer-names', text: `select name from longwatch.buffer` };
const REPORT: Statement = {
  name: 'buffer-report',
  text: `insert into longwatch.buffer_shard as s (buffer, shard, moment, status) values ($1, $2, $3, $4)
         on conflict (buffer, shard) do update
         set moment = excluded.moment, status = excluded.status, reported_at = now()
         where s.moment < excluded.moment`,
};
const REPORTS: Statement = {
  name: 'buffer-reports',
  text: `select status from longwatch.buffer_shard order by buffer, shard`,
};
const PAGE: Statement = {
  name: 'buffer-page',
  text: `select result from longwatch.buffer_page where buffer = $1 and pass = $2 and page = $3`,
};
const LAST_PAGE: Statement = {
  name: 'buffer-last-page',
  text: `select result from longwatch.buffer_page where buffer = $1 order by pass desc, page desc limit 1`,
};
const NOTE_PAGE: Statement = {
  name: 'buffer-note-page',
  text: `insert into longwatch.buffer_page (buffer, pass, page, result) values ($1, $2, $3, $4)`,
};
/** The page before may still be asked for by a slower attempt; those before it are history. */
const FORGET_PAGES: Statement = {
  name: 'buffer-forget-pages',
  text: `delete from longwatch.buffer_page where buffer = $1 and (pass, page) < ($2, $3)`,
};

export async function readBuffer(db: Queryable, name: string): Promise<BufferRow | undefined> {
  return (await run<BufferRow & Record<string, unknown>>(db, SELECT, [name]))[0];
}

/** Creates the row or gives it new options; false when they were the same. */
export async function storeBuffer(db: Queryable, name: string, options: BufferOptions): Promise<boolean> {
  return (await run(db, DECLARE, [name, JSON.stringify(options)])).length > 0;
}

export async function setBufferState(db: Queryable, name: string, state: BufferRunState): Promise<boolean> {
  return (await run(db, SET_STATE, [name, state])).length > 0;
}

export async function bufferNames(db: Queryable): Promise<string[]> {
  return (await run<{ name: string }>(db, NAMES)).map((row) => row.name);
}

export async function noteReport(db: Queryable, status: ShardStatus, moment: number): Promise<void> {
  await run(db, REPORT, [status.buffer, status.shard, moment, JSON.stringify(status)]);
}

export async function readReports(db: Queryable): Promise<ShardStatus[]> {
  return (await run<{ status: ShardStatus }>(db, REPORTS)).map((row) => row.status);
}

export async function readPage(
  db: Queryable,
  buffer: string,
  pass: number,
  page: number,
): Promise<InitPageRead | undefined> {
  return (await run<{ result: InitPageRead }>(db, PAGE, [buffer, pass, page]))[0]?.result;
}

export async function lastPage(db: Queryable, buffer: string): Promise<InitPageRead | null> {
  return (await run<{ result: InitPageRead }>(db, LAST_PAGE, [buffer]))[0]?.result ?? null;
}

/** Call it in the transaction that stores the page's entries. */
export async function notePage(db: Queryable, buffer: string, read: InitPageRead): Promise<void> {
  await run(db, FORGET_PAGES, [buffer, read.pass, read.page - 1]);
  await run(db, NOTE_PAGE, [buffer, read.pass, read.page, JSON.stringify(read)]);
}
