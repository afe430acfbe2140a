/**
 * A buffer's row, and what its shards and pages of `init` report. Written by `activities/buffer`; read by the client's
 * `status`.
 */
import type { BufferRunState, ShardReport, ShardStatus } from '../../../workflows/buffer/contract';
import type { BufferOpening, InitPage } from '../../../workflows/buffer/activities';
import type { ShardState } from '../../../workflows/buffer/state';
import { withBufferChanges, type BufferOptions } from '../../../workflows/buffer/options';
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import { run, type Queryable, type Statement } from '../../lib/database';
import { newChanges } from '../../lib/new-changes';
import type { OptionChange, OptionChanges } from '../../../workflows/lib/options';

export interface BufferRow {
  name: string;
  state: BufferRunState;
  /** The definition's options with what was set by hand laid over them. */
  options: BufferOptions;
  /** As the definition has them. */
  declared: BufferOptions;
  changes: OptionChanges;
  version: number;
  /** Shards that have ever reported. */
  shards: number;
}

const SELECT_TEXT = `select name, state, options as declared, changes, version::float8 as version,
                            (select coalesce(max(shard) + 1, 0)::int
                             from longwatch.buffer_shard s where s.buffer = b.name) as shards
                     from longwatch.buffer b where name = $1`;
const SELECT: Statement = { name: 'buffer-select', text: SELECT_TEXT };
const LOCK: Statement = { name: 'buffer-lock', text: `${SELECT_TEXT} for no key update of b` };
const SET_CHANGES: Statement = {
  name: 'buffer-set-changes',
  text: `update longwatch.buffer set changes = $2, version = version + 1
         where name = $1 and changes is distinct from $2::jsonb
         returning name`,
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
         set moment = excluded.moment, status = excluded.status, reported_at = now(), saved = null
         where s.moment < excluded.moment`,
};
/** The same for many shards; shards of buffers that do not exist any more are left out. */
const REPORT_ALL: Statement = {
  name: 'buffer-report-all',
  text: `insert into longwatch.buffer_shard as s (buffer, shard, moment, status)
         select r.buffer, r.shard, r.moment, r.status
         from unnest($1::text[], $2::int[], $3::float8[], $4::json[]) as r (buffer, shard, moment, status)
         join longwatch.buffer b on b.name = r.buffer
         order by r.buffer, r.shard
         on conflict (buffer, shard) do update
         set moment = excluded.moment, status = excluded.status, reported_at = now(), saved = null
         where s.moment < excluded.moment`,
};
/** The same again, where the answer to it was lost, changes nothing. */
const SAVE: Statement = {
  name: 'buffer-save',
  text: `insert into longwatch.buffer_shard as s (buffer, shard, moment, status, saved) values ($1, $2, $3, $4, $5)
         on conflict (buffer, shard) do update
         set moment = excluded.moment, status = excluded.status, reported_at = now(), saved = excluded.saved
         where s.moment <= excluded.moment
         returning shard`,
};
const SAVED: Statement = {
  name: 'buffer-saved',
  text: `select saved from longwatch.buffer_shard where buffer = $1 and shard = $2`,
};
const KEPT: Statement = {
  name: 'buffer-kept',
  text: `select shard from longwatch.buffer_shard where buffer = $1 and saved is not null`,
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
  text: `select pass, page from longwatch.buffer_page where buffer = $1 order by pass desc, page desc limit 1`,
};
const NOTE_PAGE: Statement = {
  name: 'buffer-note-page',
  text: `insert into longwatch.buffer_page (buffer, pass, page, result)
         select $1, $2, $3, $4
         where not exists (select from longwatch.buffer_page where buffer = $1 and (pass, page) > ($2, $3))
         returning page`,
};
/** The page before may still be asked for by a slower attempt; those before it are history. */
const FORGET_PAGES: Statement = {
  name: 'buffer-forget-pages',
  text: `delete from longwatch.buffer_page where buffer = $1 and (pass, page) < ($2, $3)`,
};

export async function readBuffer(
  db: Queryable,
  name: string,
  lock: 'nothing' | 'all' = 'nothing',
): Promise<BufferRow | undefined> {
  const statement = lock === 'all' ? LOCK : SELECT;
  const [row] = await run<Omit<BufferRow, 'options'> & Record<string, unknown>>(db, statement, [name]);
  return row && { ...row, options: withBufferChanges(row.declared, row.changes) };
}

/** Creates the row or gives it new options; false when they were the same. */
export async function storeBuffer(db: Queryable, name: string, options: BufferOptions): Promise<boolean> {
  return (await run(db, DECLARE, [name, JSON.stringify(options)])).length > 0;
}

/**
 * Lays changes over the options, or takes them back (`value: null`); false when nothing is different.
 * @throws Changed where the row has another version than `expects`
 */
export async function storeBufferChanges(
  db: Queryable,
  name: string,
  changes: OptionChange[],
  expects?: number,
): Promise<boolean> {
  const row = await readBuffer(db, name, 'all');
  if (!row) return false;
  const next = newChanges(`buffer ${name}`, row, changes, expects);
  if (!next) return false;
  return (await run(db, SET_CHANGES, [name, JSON.stringify(next)])).length > 0;
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

/** At most one of each shard. */
export async function noteReports(db: Queryable, reports: readonly ShardReport[]): Promise<void> {
  await run(db, REPORT_ALL, [
    reports.map(({ status }) => status.buffer),
    reports.map(({ status }) => status.shard),
    reports.map(({ moment }) => moment),
    reports.map(({ status }) => JSON.stringify(status)),
  ]);
}

/**
 * A shard's last words: its report, and all that it knows.
 * @throws Fenced where something newer is there: what is not saved may not end
 */
export async function saveShard(db: Queryable, status: ShardStatus, moment: number, state: ShardState): Promise<void> {
  const { buffer, shard } = status;
  const saved = await run(db, SAVE, [buffer, shard, moment, JSON.stringify(status), JSON.stringify(state)]);
  if (saved.length === 0) {
    throw failure(ErrorType.Fenced, `shard ${shard} of buffer ${buffer} has reported something newer since`);
  }
}

export async function savedShard(db: Queryable, buffer: string, shard: number): Promise<ShardState | null> {
  return (await run<{ saved: ShardState | null }>(db, SAVED, [buffer, shard]))[0]?.saved ?? null;
}

/** The shards that have a saved state. */
export async function keptShards(db: Queryable, buffer: string): Promise<number[]> {
  return (await run<{ shard: number }>(db, KEPT, [buffer])).map(({ shard }) => shard);
}

export async function readReports(db: Queryable): Promise<ShardStatus[]> {
  return (await run<{ status: ShardStatus }>(db, REPORTS)).map((row) => row.status);
}

export async function readPage(
  db: Queryable,
  buffer: string,
  pass: number,
  page: number,
): Promise<InitPage | undefined> {
  return (await run<{ result: InitPage }>(db, PAGE, [buffer, pass, page]))[0]?.result;
}

export async function lastPage(db: Queryable, buffer: string): Promise<BufferOpening['lastPage']> {
  return (await run<{ pass: number; page: number }>(db, LAST_PAGE, [buffer]))[0] ?? null;
}

/**
 * Call it in the transaction that stores the page's entries.
 * @throws Fenced where a later one is noted: who read this one was frozen meanwhile, and its messages would be numbered
 *   as those are.
 */
export async function notePage(db: Queryable, buffer: string, page: InitPage): Promise<void> {
  await run(db, FORGET_PAGES, [buffer, page.pass, page.page - 1]);
  const noted = await run(db, NOTE_PAGE, [buffer, page.pass, page.page, JSON.stringify(page)]);
  if (noted.length === 0)
    throw failure(ErrorType.Fenced, `page ${page.page} of init is behind one that was read since`);
}
