/** One job: its ticks as bars, rows that failed, its statement and plan; options under a tab. */
import type { Explanation } from '../../../activities/job/explain';
import type { FailedRowSummary, TickSummary } from '../../../client/job/ticks';
import { retryRowsAction, runAction } from '../actions/more';
import { unitActions } from '../actions/units';
import { at, get } from '../lib/api';
import { count, duration, percent, plural, short, shown, time } from '../lib/format';
import type { Live } from '../lib/live';
import { usePages } from '../lib/pages';
import type { Route } from '../lib/route';
import type { JobSummary } from '../lib/state';
import { useAsked, useTitle } from '../lib/use';
import { workflowId } from '../lib/workflows';
import { ActButton } from '../parts/dialog';
import { Bars, Meter } from '../parts/figures';
import { Head, Missing, Tabs } from '../parts/head';
import { Listed } from '../parts/listed';
import { Section } from '../parts/section';
import { Settings } from '../parts/settings';
import type { Column } from '../parts/table';
import { Ago, Data, Empty, State, Trouble } from '../parts/text';
import { History } from './history';
import { Jobs } from './overview-lists';

export function JobList({ live }: { live: Live }) {
  useTitle('Jobs');
  return live.state ? <Jobs main jobs={live.state.status.jobs} /> : null;
}

const PARTS: [string, string][] = [
  ['', 'Ticks'],
  ['failed', 'Failed rows'],
  ['explain', 'Explain'],
  ['options', 'Options'],
];

export function JobPage({ live, route }: { live: Live; route: Route }) {
  const [, name = '', part = ''] = route.path;
  useTitle(name);
  if (!live.state) return <p class="quiet">Asking the server…</p>;
  const job = live.state.status.jobs.find((each) => each.name === name);
  if (!job) return <Missing kind="job" name={name} list="jobs" />;
  return (
    <>
      <Head
        list={['jobs', 'Jobs']}
        name={name}
        state={job.state}
        facts={<Facts job={job} />}
        actions={[runAction(job), ...unitActions('job', job)]}
        workflow={workflowId.job(name)}
      />
      <Tabs path={['jobs', name]} parts={PARTS} is={part} />
      {part === '' && <Ticks job={job} />}
      {part === 'failed' && <FailedRows job={job} />}
      {part === 'explain' && <Explain name={name} />}
      {part === 'options' && <Settings list="jobs" name={name} />}
    </>
  );
}

function Facts({ job: { kind, schedule, open, failedRows } }: { job: JobSummary }) {
  return (
    <span class="facts">
      <span>{kind}</span>
      <span>
        {'everyMs' in schedule ? `every ${duration(schedule.everyMs)}` : `at ${schedule.cron} (${schedule.timeZone})`}
      </span>
      {open && (
        <span>
          <Meter share={open.share} label="of the tick" /> {percent(open.share)}, {plural(open.rows, 'row')}
          {open.node !== null && (
            <>
              {' '}
              on <Data text={open.node} />
            </>
          )}
        </span>
      )}
      {failedRows > 0 && <State is="failed" word={`${plural(failedRows, 'row')} failed`} />}
    </span>
  );
}

/** By the tick's own verdict; the word is in the table below. */
function kindOf({ band, failed, error }: TickSummary): string {
  if (error !== null || failed > 0) return 'failed';
  if (band === 'warning' || band === 'fair') return 'behind';
  return band === null ? 'quiet' : 'well';
}

const TICKS: Column<TickSummary>[] = [
  { head: 'due', names: true, cell: ({ due }) => time(due) },
  { head: 'by', wide: true, cell: ({ by }) => by },
  { head: 'rows', figure: true, cell: ({ rows }) => short(rows) },
  { head: 'took', figure: true, cell: ({ ms }) => duration(ms) },
  {
    head: 'band',
    cell: ({ band }) =>
      band === null ? (
        '—'
      ) : (
        <State is={band === 'warning' ? 'problem' : band === 'fair' ? 'notice' : 'done'} word={band} />
      ),
  },
  {
    head: 'failed',
    figure: true,
    cell: ({ failed }) => (failed > 0 ? <State is="failed" word={count(failed)} /> : '0'),
  },
  { head: 'skipped', figure: true, wide: true, cell: ({ skipped }) => count(skipped) },
  { head: 'chunks', figure: true, wide: true, cell: ({ chunks }) => count(chunks) },
  { head: 'held rows', figure: true, wide: true, cell: ({ longestMs }) => duration(longestMs) },
  { head: 'error', text: true, cell: ({ error }) => (error === null ? '' : <Data text={error} most={120} />) },
];

/** More of them are thinner than one can point at. */
const MOST_BARS = 200;

function Ticks({ job: { name, open } }: { job: JobSummary }) {
  const path = at('jobs', name, 'ticks');
  const list = usePages<TickSummary>(path, (wanted, signal) => get(path, { ...wanted }, signal), { everyMs: 3_000 });
  const ticks = list.items;
  const bars = ticks
    .slice(0, MOST_BARS)
    .reverse()
    .map((tick) => ({
      value: tick.ms,
      kind: kindOf(tick),
      label: `${time(tick.due)}: ${plural(tick.rows, 'row')} in ${duration(tick.ms)}, ${tick.band ?? 'no band'}${tick.failed > 0 ? `, ${count(tick.failed)} failed` : ''}`,
    }));
  return (
    <Section title="Ticks">
      {open?.error && (
        <p class="trouble">
          <State is="problem" word="The tick cannot go on: " />
          <Data text={open.error} most={400} />
        </p>
      )}
      {ticks.length > 0 && (
        <>
          <div class="scroll" role="group" aria-label="Time of each tick" tabIndex={0}>
            <Bars bars={bars} height={64} width={10} />
          </div>
          <History kind="job" names={[name]} />
        </>
      )}
      <Listed
        list={list}
        caption="Ticks"
        columns={TICKS}
        keyOf={({ due, startedAt }) => `${due} ${startedAt}`}
        empty={<Empty>No tick has ended yet. It runs at its times, or now by the button above.</Empty>}
      />
    </Section>
  );
}

function FailedRows({ job }: { job: JobSummary }) {
  const path = at('jobs', job.name, 'failed-rows');
  const list = usePages<FailedRowSummary>(path, (wanted, signal) => get(path, { ...wanted }, signal), {
    first: 500,
    everyMs: 3_000,
  });
  const columns: Column<FailedRowSummary>[] = [
    { head: 'key', names: true, cell: ({ key }) => <Data text={key.join(', ')} mono /> },
    { head: 'error', text: true, cell: ({ error }) => <Data text={error} most={200} /> },
    { head: 'code', cell: ({ code }) => code ?? '—' },
    { head: 'attempts', figure: true, cell: ({ attempts }) => count(attempts) },
    { head: 'failed', figure: true, cell: ({ failedAt }) => <Ago at={failedAt} /> },
    ...(job.kind === 'sweep'
      ? [
          {
            head: 'actions',
            mute: true,
            cell: ({ key }: FailedRowSummary) => <ActButton action={retryRowsAction(job, [key])} quiet />,
          },
        ]
      : []),
  ];
  return (
    <Section title="Failed rows" count={job.failedRows}>
      {list.items.length > 0 &&
        (job.kind === 'sweep' ? (
          <p class="bulk">
            <span class="quiet">all of them:</span> <ActButton action={retryRowsAction(job)} />
          </p>
        ) : (
          <p class="quiet">They are tried again by the next tick.</p>
        ))}
      <Listed
        list={list}
        caption="Failed rows"
        columns={columns}
        keyOf={({ key, due }) => `${due} ${JSON.stringify(key)}`}
        of={job.failedRows}
        empty={<p class="quiet">No row has failed.</p>}
      />
    </Section>
  );
}

/** Runs nothing: the plan is PostgreSQL's own. */
function Explain({ name }: { name: string }) {
  const path = at('jobs', name, 'explain');
  const { data, problem, again, loading } = useAsked(path, (signal) => get<Explanation>(path, {}, signal));
  return (
    <Section title="Explain">
      {problem && <Trouble words={problem.message} again={again} />}
      {loading && !data && <p class="quiet">Asking PostgreSQL…</p>}
      {data && (
        <>
          {data.warnings.map((warning) => (
            <p key={warning}>
              <State is="notice" word="Slow: " />
              <Data text={warning} most={500} />
            </p>
          ))}
          {data.warnings.length === 0 && <State is="done" word="nothing stands in the way of speed" />}
          <h3>Statement</h3>
          <pre class="json" tabIndex={0} role="group" aria-label="Statement">
            {shown(data.statement, 20_000)}
          </pre>
          <h3>Plan</h3>
          <pre class="json" tabIndex={0} role="group" aria-label="Plan">
            {shown(data.plan.join('\n'), 20_000)}
          </pre>
        </>
      )}
    </Section>
  );
}
