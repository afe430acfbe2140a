/** The lists of the overview: a line each, with a sparkline of the last hour. An empty one says what to do. */
import { useState } from 'preact/hooks';
import { count, duration, percent, rate, short } from '../lib/format';
import { rates } from '../lib/live';
import { href } from '../lib/route';
import { withNow } from '../lib/spark-line';
import { useSparks, type SparkOf } from '../lib/sparks';
import type {
  BucketSummary,
  BufferSummary,
  JobSummary,
  NodeReport,
  OperationSummary,
  TrackerSummary,
} from '../lib/state';
import { Meter, Spark } from '../parts/figures';
import { Section } from '../parts/section';
import { More, Table, type Column } from '../parts/table';
import { Ago, Data, Empty, State } from '../parts/text';

/** More than these are a click away. */
const MOST = 50;

export const namesOf = (things: readonly { name: string }[]): string[] => things.map(({ name }) => name);

interface OperationRow {
  tracker: TrackerSummary;
  operation: OperationSummary;
}

/** The names of their histories. */
export const operationNames = (trackers: readonly TrackerSummary[]): string[] =>
  trackers.flatMap(({ name, operations }) => operations.map((operation) => `${name}/${operation.name}`));

export const OPERATIONS = (sparkOf: SparkOf): readonly Column<OperationRow>[] => [
  { head: 'operation', names: true, cell: ({ operation }) => <Data text={operation.name} /> },
  { head: 'every', figure: true, cell: ({ operation }) => (operation.enabled ? duration(operation.everyMs) : 'off') },
  {
    head: 'last hour',
    drawn: true,
    wide: true,
    cell: ({ tracker, operation }) => {
      const counter = `fetched ${tracker.name}.${operation.name}`;
      const past = sparkOf(`${tracker.name}/${operation.name}`);
      return <Spark values={withNow(past, rates.rate(counter), rates.line(counter))} />;
    },
  },
  {
    head: 'rate',
    figure: true,
    cell: ({ tracker, operation }) => rate(rates.rate(`fetched ${tracker.name}.${operation.name}`)),
  },
  {
    head: 'failing',
    figure: true,
    cell: ({ tracker, operation }) => rate(rates.rate(`failed ${tracker.name}.${operation.name}`)),
  },
  { head: 'late p50', figure: true, wide: true, cell: ({ operation }) => duration(operation.lateP50Ms) },
  { head: 'late p99', figure: true, cell: ({ operation }) => duration(operation.lateP99Ms) },
  {
    head: 'stale',
    figure: true,
    cell: ({ operation }) => `${operation.staleExact ? '' : '~'}${count(operation.stale)}`,
  },
];

/** @param main it is the page's own list */
export function Trackers({ trackers, main }: { trackers: readonly TrackerSummary[]; main?: boolean }) {
  const [most, setMost] = useState(MOST);
  const sparkOf = useSparks('operation', operationNames(trackers.slice(0, most)));
  const Title = main ? 'h2' : 'h3';
  return (
    <Section title="Trackers" main={main} count={trackers.length} link={href('trackers')}>
      {trackers.length === 0 && (
        <Empty command="npx longwatch start NAME">
          Nothing is tracked yet. Write a tracker into longwatch.config.ts, start a worker with it, then start the
          tracker:
        </Empty>
      )}
      {trackers.slice(0, most).map((tracker) => (
        <article class="tracker" key={tracker.name}>
          <header>
            <Title>
              <a href={href('trackers', tracker.name)}>
                <Data text={tracker.name} />
              </a>
            </Title>
            <State is={tracker.state} />
            <TrackerFacts tracker={tracker} />
          </header>
          <Table
            caption={`Operations of ${tracker.name}`}
            columns={OPERATIONS(sparkOf)}
            rows={tracker.operations.map((operation) => ({ tracker, operation }))}
            keyOf={({ operation }) => operation.name}
            tone={({ operation }) => (operation.enabled ? undefined : 'off')}
          />
        </article>
      ))}
      {trackers.length > most && <More shown={most} of={trackers.length} next={() => setMost(most + MOST)} />}
    </Section>
  );
}

export function TrackerFacts({ tracker }: { tracker: TrackerSummary }) {
  const { members, pools, poolsOnShift, quarantined, unbegun, gate } = tracker;
  return (
    <span class="facts">
      <span>{count(members)} members</span>
      <span class={poolsOnShift < pools && tracker.state === 'running' ? 'warn' : undefined}>
        {count(poolsOnShift)} of {count(pools)} pools on shift
      </span>
      {quarantined > 0 && <State is="quarantined" word={`${count(quarantined)} in quarantine`} />}
      {unbegun > 0 && <State is="problem" word={`${count(unbegun)} that no node begins`} />}
      {gate !== null && <State is={gate} word={`gate ${gate}`} />}
      {tracker.holds.length > 0 && <State is="held" word={`${count(tracker.holds.length)} held`} />}
    </span>
  );
}

const BUFFERS = (sparkOf: SparkOf): readonly Column<BufferSummary>[] => [
  {
    head: 'buffer',
    names: true,
    cell: ({ name }) => (
      <a href={href('buffers', name)}>
        <Data text={name} />
      </a>
    ),
  },
  { head: 'state', cell: ({ state }) => <State is={state} /> },
  {
    head: 'last hour',
    drawn: true,
    wide: true,
    cell: ({ name }) => (
      <Spark values={withNow(sparkOf(name), rates.rate(`done ${name}`), rates.line(`done ${name}`))} />
    ),
  },
  { head: 'rate', figure: true, cell: ({ name }) => rate(rates.rate(`done ${name}`)) },
  { head: 'pending', figure: true, cell: ({ pending }) => short(pending) },
  { head: 'running', figure: true, wide: true, cell: ({ running }) => short(running) },
  { head: 'put off', figure: true, wide: true, cell: ({ putOff }) => short(putOff) },
  {
    head: 'dead',
    figure: true,
    cell: ({ dead }) => (dead > 0 ? <State is="problem" word={short(dead)} /> : '0'),
  },
  { head: 'accepted', figure: true, wide: true, cell: ({ accepted }) => short(accepted) },
];

/** @param main it is the page's own list */
export function Buffers({ buffers, main }: { buffers: readonly BufferSummary[]; main?: boolean }) {
  const sparkOf = useSparks('buffer', namesOf(buffers));
  return (
    <Section title="Buffers" main={main} count={buffers.length} link={href('buffers')}>
      {buffers.length === 0 ? (
        <Empty command="npx longwatch start NAME">
          There is no buffer. A buffer hands entries to your code in batches:
        </Empty>
      ) : (
        <Table caption="Buffers" columns={BUFFERS(sparkOf)} rows={buffers} first={MOST} keyOf={({ name }) => name} />
      )}
    </Section>
  );
}

const JOBS = (sparkOf: SparkOf): readonly Column<JobSummary>[] => [
  {
    head: 'job',
    names: true,
    cell: ({ name }) => (
      <a href={href('jobs', name)}>
        <Data text={name} />
      </a>
    ),
  },
  { head: 'kind', wide: true, cell: ({ kind }) => kind },
  { head: 'state', cell: ({ state }) => <State is={state} /> },
  {
    head: 'tick',
    cell: ({ open }) =>
      open === null ? (
        <span class="quiet">none under way</span>
      ) : (
        <>
          <Meter share={open.share} label="of the tick" /> {percent(open.share)}
        </>
      ),
  },
  { head: 'last hour', drawn: true, wide: true, cell: ({ name }) => <Spark values={sparkOf(name) ?? []} /> },
  { head: 'last ended', figure: true, cell: ({ last }) => <Ago at={last?.endedAt} /> },
  { head: 'took', figure: true, cell: ({ last }) => duration(last?.ms) },
  { head: 'rows', figure: true, cell: ({ last }) => (last ? short(last.rows) : '—') },
  {
    head: 'failed rows',
    figure: true,
    cell: ({ failedRows }) => (failedRows > 0 ? <State is="problem" word={short(failedRows)} /> : '0'),
  },
];

/** @param main it is the page's own list */
export function Jobs({ jobs, main }: { jobs: readonly JobSummary[]; main?: boolean }) {
  const sparkOf = useSparks('job', namesOf(jobs));
  return (
    <Section title="Jobs" main={main} count={jobs.length} link={href('jobs')}>
      {jobs.length === 0 ? (
        <Empty command="npx longwatch start NAME">
          There is no job. A regen, sweep or decay works on a whole table at its times:
        </Empty>
      ) : (
        <Table caption="Jobs" columns={JOBS(sparkOf)} rows={jobs} first={MOST} keyOf={({ name }) => name} />
      )}
    </Section>
  );
}

/** A key that is a secret is a hash, of which the beginning tells it from others. */
export const bucketText = ({ upstream, limit, key }: BucketSummary): string => `${upstream}/${limit}:${key}`;

export const BUCKETS = (sparkOf: SparkOf): readonly Column<BucketSummary>[] => [
  {
    head: 'bucket',
    names: true,
    cell: (bucket) => (
      <a href={href('upstreams', bucket.upstream)}>
        <Data text={bucketText(bucket)} />
      </a>
    ),
  },
  { head: 'last hour', drawn: true, wide: true, cell: ({ bucket }) => <Spark values={sparkOf(bucket) ?? []} /> },
  {
    head: 'left',
    cell: ({ remaining, tokens }) =>
      remaining === null || tokens === null ? (
        <span class="quiet">not known yet</span>
      ) : (
        <Meter
          share={remaining / Math.max(1, tokens)}
          label="left"
          tone={remaining < tokens / 10 ? 'warn' : 'accent'}
        />
      ),
  },
  {
    head: 'tokens',
    figure: true,
    cell: ({ remaining, tokens }) =>
      remaining === null || tokens === null ? '—' : `${short(remaining)} / ${short(tokens)}`,
  },
  { head: 'window', figure: true, wide: true, cell: ({ windowMs }) => (windowMs ? duration(windowMs) : '—') },
  { head: 'nodes', figure: true, wide: true, cell: ({ nodes }) => nodes.length },
  {
    head: 'state',
    cell: ({ closedMs, closedReason }) =>
      closedMs > 0 ? (
        <span title={closedReason ?? undefined}>
          <State is="closed" word={`closed for ${duration(closedMs)}`} />
        </span>
      ) : (
        <State is="open" />
      ),
  },
];

export function Buckets({ buckets }: { buckets: readonly BucketSummary[] }) {
  // Closed ones stand first, then those that are nearly empty.
  const share = ({ remaining, tokens }: BucketSummary): number =>
    remaining === null || tokens === null ? 1 : remaining / Math.max(1, tokens);
  const sorted = [...buckets].sort((a, b) => b.closedMs - a.closedMs || share(a) - share(b)).slice(0, 12);
  // In their own order, so that the question is the same one while the list moves.
  const sparkOf = useSparks(
    'bucket',
    buckets.map(({ bucket }) => bucket),
  );
  return (
    <Section title="Upstreams" count={buckets.length} counted="buckets" link={href('upstreams')}>
      {buckets.length === 0 ? (
        <Empty>
          No limit of an upstream is spent from. Limits are written with <code>defineUpstream</code> in
          longwatch.config.ts.
        </Empty>
      ) : (
        <Table caption="Buckets of upstreams" columns={BUCKETS(sparkOf)} rows={sorted} keyOf={({ bucket }) => bucket} />
      )}
    </Section>
  );
}

export function nodeState(node: NodeReport): string {
  if (node.ended) return 'ended';
  if (!node.alive) return 'gone';
  return node.drained ? 'drained' : 'alive';
}

export const NODES = (sparkOf: SparkOf): readonly Column<NodeReport>[] => [
  { head: 'node', names: true, cell: ({ name }) => <Data text={name} /> },
  { head: 'state', cell: (node) => <State is={nodeState(node)} /> },
  {
    head: 'verdict',
    text: true,
    cell: ({ verdict }) => (
      <span class={verdict.level === 'bad' ? 'bad' : verdict.level === 'good' ? 'quiet' : 'warn'}>
        <Data text={verdict.text} most={120} />
      </span>
    ),
  },
  {
    head: 'busy, last hour',
    drawn: true,
    wide: true,
    cell: ({ name }) => <Spark values={sparkOf(name) ?? []} top={1} />,
  },
  { head: 'pools', figure: true, cell: ({ pools }) => count(pools) },
  { head: 'members', figure: true, cell: ({ members }) => short(members) },
  {
    head: 'load of share',
    cell: ({ load, share }) =>
      load === null || !share ? (
        <span class="quiet">—</span>
      ) : (
        <>
          <Meter share={load / share / 2} label="of twice its share" />{' '}
          <span class="figure">{percent(load / share)}</span>
        </>
      ),
  },
  { head: 'version', wide: true, cell: ({ version }) => version ?? '—' },
];

export function Nodes({ nodes }: { nodes: readonly NodeReport[] }) {
  const sparkOf = useSparks('node', namesOf(nodes));
  return (
    <Section title="Nodes" count={nodes.filter(({ alive }) => alive).length} link={href('nodes')}>
      {nodes.length === 0 ? (
        <Empty command="npx longwatch worker --config longwatch.config.ts">
          No worker runs, so nothing is done. Start one:
        </Empty>
      ) : (
        <Table caption="Nodes" columns={NODES(sparkOf)} rows={nodes} first={MOST} keyOf={({ name }) => name} />
      )}
    </Section>
  );
}
