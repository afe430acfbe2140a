/**
 * `longwatch regen|sweep|decay run|status|history|explain JOB`, and `failed`, `retry`: what is asked of one job. Start,
 * stop, pause and resume are those of every name (`start.ts`, `commands.ts`).
 */
import type { Command } from 'commander';
import type { JobKind } from '../../workflows/job/options';
import type { JobHandle } from '../../client/job/handle';
import type { FailedRowSummary, TickSummary } from '../../client/job/ticks';
import type { JobSummary } from '../../client/job/status';
import type { Longwatch } from '../../client/longwatch';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { age, count, millis, plural, print, printJson, remark, right, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { inline } from '../plain';
import { RunBar } from '../run-bar';
import { timesOf, type Times } from '../times';
import { operatorVerb, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

type Limited = CommonFlags & PageFlags;

const EXAMPLE: Record<JobKind, string> = { regen: 'stamina', sweep: 'combats', decay: 'items' };

export function addRegen(program: Command): void {
  addKind(program, 'regen', 'statements that advance every row of a table');
}

export function addSweep(program: Command): void {
  const sweep = addKind(program, 'sweep', 'rows that are due, handled in pages');
  operatorVerb(sweep, 'retry <job> [key...]', 'dead letters: handle them again (all of them, or those keys)', [
    'longwatch sweep retry combats',
    'longwatch sweep retry combats 17 18',
    `longwatch sweep retry pairs '["a,b","c"]'`,
  ]).action((name: string, keys: string[], flags: OperatorFlags) =>
    withJob(flags, 'sweep', name, async (job) => {
      const taken = await job.retryFailed(keys.length > 0 ? keys : undefined, { why: flags.why });
      if (flags.json) return printJson({ job: name, retried: taken });
      await print(`${plural(taken, 'dead letter')} of '${name}' will be handled when due`);
    }),
  );
}

export function addDecay(program: Command): void {
  addKind(program, 'decay', 'rows that are deleted or moved, tick by tick');
}

function addKind(program: Command, kind: JobKind, text: string): Command {
  const group = program.command(kind).description(text);
  const example = EXAMPLE[kind];
  operatorVerb(group, 'run <job>', 'a tick now, beside the schedule; answers with what came of it', [
    `longwatch ${kind} run ${example}`,
  ]).action((name: string, flags: OperatorFlags) => withJob(flags, kind, name, (job) => run(job, flags)));

  verb(group, 'status [job]', 'state, latest tick, and how far the open one is', [
    `longwatch ${kind} status`,
    `longwatch ${kind} status ${example} --json`,
  ]).action((name: string | undefined, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const jobs = name === undefined ? await jobsOf(longwatch, kind) : [await jobOf(longwatch, kind, name)];
      if (flags.json) return printJson({ jobs });
      await print(jobs.length === 0 ? `no ${kind} has been started` : jobTable(jobs, await timesOf(longwatch)));
    }),
  );

  const history = verb(group, 'history <job>', 'its ticks, the newest first: rows, time, band', [
    `longwatch ${kind} history ${example} --limit 50`,
  ]);
  paged(history, 20).action((name: string, flags: Limited) =>
    withJob(flags, kind, name, async (job) => {
      const { items: ticks, next } = await partOf((page) => job.historyPage(page), flags);
      if (flags.json) return printJson({ job: name, ticks, next });
      await print(historyTable(ticks));
      sayMore(next);
    }),
  );

  verb(group, 'explain <job>', "its statement, PostgreSQL's plan, and what makes it slow; runs nothing", [
    `longwatch ${kind} explain ${example}`,
    `longwatch ${kind} explain ${example} --config longwatch.config.ts   # before it is started`,
  ])
    .option('--config <file>', 'explain the definition of this config, not what runs')
    .action((name: string, flags: CommonFlags & { config?: string }) => explain(kind, name, flags));

  const failed = verb(group, 'failed <job>', 'rows that failed, the last ones first, and why', [
    `longwatch ${kind} failed ${example}`,
  ]);
  paged(failed, 50).action((name: string, flags: Limited) =>
    withJob(flags, kind, name, async (job) => {
      const { items: rows, next } = await partOf((page) => job.failedRowsPage(page), flags);
      if (flags.json) return printJson({ job: name, rows, next });
      await print(failedTable(rows));
      sayMore(next);
    }),
  );
  return group;
}

async function run(job: JobHandle, flags: OperatorFlags): Promise<void> {
  const bar = new RunBar();
  let tick: TickSummary;
  try {
    tick = await job.run({ onProgress: bar.show, why: flags.why });
  } finally {
    bar.stop();
  }
  if (flags.json) return printJson({ job: job.name, ...tick });
  await print(`${plural(tick.rows, 'row')} in ${(tick.ms / 1_000).toFixed(2)} s: ${tick.band ?? ''}`);
  if (tick.failed > 0) remark(`${plural(tick.failed, 'row')} failed`);
  if (tick.error !== null) remark(inline(tick.error));
}

async function explain(kind: JobKind, name: string, flags: CommonFlags & { config?: string }): Promise<void> {
  const loaded = flags.config === undefined ? undefined : await lazy.load().loadConfig(flags.config);
  const defined = loaded?.config.jobs.find((job) => job.name === name && job.options.kind === kind);
  if (loaded && !defined) {
    const names = loaded.config.jobs.map((job) => job.name);
    throw new UsageError(`the config has no ${kind} '${name}'${lazy.suggest().didYouMean(name, names)}`);
  }
  await withLongwatch(flags, async (longwatch) => {
    if (!defined) await jobOf(longwatch, kind, name);
    const found = await longwatch.job(name).explain(defined?.options);
    if (flags.json) return printJson({ job: name, ...found });
    const lines = [
      `${found.table}, along ${found.key.join(', ')}`,
      '',
      ...indent(found.statement.split('\n')),
      '',
      ...indent(found.plan),
      ...found.warnings.map((warning) => `\nwarning: ${warning}`),
    ];
    await print(lines.join('\n'));
  });
}

const indent = (lines: string[]): string[] => lines.map((line) => `  ${line}`);

function withJob(
  flags: CommonFlags,
  kind: JobKind,
  name: string,
  act: (job: JobHandle) => Promise<void>,
): Promise<void> {
  return withLongwatch(flags, async (longwatch) => {
    await jobOf(longwatch, kind, name);
    await act(longwatch.job(name));
  });
}

const jobsOf = async (longwatch: Longwatch, kind: JobKind): Promise<JobSummary[]> =>
  (await longwatch.status()).jobs.filter((job) => job.kind === kind);

async function jobOf(longwatch: Longwatch, kind: JobKind, name: string): Promise<JobSummary> {
  const found = await longwatch.job(name).status();
  if (found.kind !== kind) throw new UsageError(`'${name}' is a ${found.kind}: npx longwatch ${found.kind} …`);
  return found;
}

/** Also the part of `status` that is about jobs. */
export function jobTable(jobs: readonly JobSummary[], times: Times): string {
  return table(
    [{ head: 'job' }, { head: 'kind' }, { head: 'state' }, { head: 'every' }, right('rows'), right('took'), { head: 'band' }, right('failed'), right('ended'), { head: 'now' }],
    jobs.map((job) => [
      job.name,
      job.kind,
      job.state,
      'everyMs' in job.schedule ? age(job.schedule.everyMs) : `${job.schedule.cron} ${job.schedule.timeZone}`,
      job.last && count(job.last.rows),
      job.last && age(job.last.ms),
      job.last && job.last.band,
      count(job.failedRows),
      job.last && times.ago(job.last.endedAt),
      nowOf(job),
    ]),
  ); // prettier-ignore
}

function nowOf(job: JobSummary): string | null {
  if (job.open?.error) return `fails: ${job.open.error.slice(0, 80)}`;
  const claimed = job.claimed > 0 ? [`${count(job.claimed)} claimed`] : [];
  const parts = [...(job.open ? [`${count(job.open.rows)} rows so far`] : []), ...claimed];
  return parts.length > 0 ? parts.join(', ') : null;
}

function historyTable(ticks: readonly TickSummary[]): string {
  if (ticks.length === 0) return 'no tick has ended yet';
  return table(
    [{ head: 'due' }, { head: 'by' }, right('intervals'), right('rows'), right('failed'), right('took'), { head: 'band' }, right('chunks'), right('longest ms'), right('trip p50 ms'), right('trip p99 ms')],
    ticks.map((tick) => [
      tick.due,
      tick.by,
      tick.skipped > 0 ? `${tick.elapsed} (+${tick.skipped} skipped)` : tick.elapsed,
      count(tick.rows),
      count(tick.failed),
      age(tick.ms),
      tick.band,
      count(tick.chunks),
      millis(tick.longestMs),
      millis(tick.roundTripP50Ms),
      millis(tick.roundTripP99Ms),
    ]),
  ); // prettier-ignore
}

function failedTable(rows: readonly FailedRowSummary[]): string {
  if (rows.length === 0) return 'no row has failed';
  return table(
    [{ head: 'key' }, right('attempts'), { head: 'at' }, { head: 'error' }],
    rows.map((row) => [row.key.join(', '), row.attempts, row.failedAt, row.error.slice(0, 100)]),
  );
}
