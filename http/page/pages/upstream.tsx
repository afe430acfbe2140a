/** Upstreams and their buckets: what is left, who spends, what is closed and until when; options of one upstream. */
import { closeAction, openAction } from '../actions/more';
import { get } from '../lib/api';
import { duration, short } from '../lib/format';
import type { Live } from '../lib/live';
import { usePages } from '../lib/pages';
import { href, type Route } from '../lib/route';
import type { BucketSummary } from '../lib/state';
import { useSparks } from '../lib/sparks';
import { useAsked, useTitle } from '../lib/use';
import { ActButton } from '../parts/dialog';
import { Head } from '../parts/head';
import { Listed } from '../parts/listed';
import { Section } from '../parts/section';
import { Settings } from '../parts/settings';
import type { Column } from '../parts/table';
import { Data, Empty, State, Trouble } from '../parts/text';
import { Buckets, BUCKETS, bucketText } from './overview-lists';
import { History } from './history';

export function UpstreamList({ live }: { live: Live }) {
  useTitle('Upstreams');
  const { data, problem, again } = useAsked(
    'upstreams',
    (signal) => get<{ items: string[] }>('upstreams', {}, signal),
    10_000,
  );
  return (
    <>
      <Section title="All upstreams" main count={data?.items.length}>
        {problem && <Trouble words={problem.message} again={again} />}
        {data && data.items.length === 0 && (
          <Empty>No upstream has limits. They are written with defineUpstream in longwatch.config.ts.</Empty>
        )}
        <ul class="lines">
          {data?.items.map((name) => (
            <li key={name}>
              <a href={href('upstreams', name)}>
                <Data text={name} />
              </a>
            </li>
          ))}
        </ul>
      </Section>
      {live.state && <Buckets buckets={live.state.buckets} />}
    </>
  );
}

export function UpstreamPage({ live, route }: { live: Live; route: Route }) {
  const [, name = ''] = route.path;
  useTitle(name);
  return (
    <>
      <Head list={['upstreams', 'Upstreams']} name={name} />
      <AllBuckets name={name} live={live} />
      <History kind="bucket" prefix={`${name}/`} />
      <Settings list="upstreams" name={name} />
    </>
  );
}

function AllBuckets({ name, live }: { name: string; live: Live }) {
  const list = usePages<BucketSummary>(`buckets ${name}`, (wanted, signal) =>
    get('buckets', { upstream: name, ...wanted }, signal),
  );
  const fresh = new Map(live.state?.buckets.map((bucket) => [bucket.bucket, bucket]));
  const rows = list.items.map((bucket) => fresh.get(bucket.bucket) ?? bucket);
  const sparkOf = useSparks(
    'bucket',
    rows.map(({ bucket }) => bucket),
  );
  const [first, ...more] = BUCKETS(sparkOf);
  const columns: Column<BucketSummary>[] = [
    { ...first!, cell: (bucket) => <Data text={bucketText(bucket)} /> },
    ...more,
    { head: 'spent', figure: true, wide: true, cell: ({ spent }) => short(spent) },
    {
      head: 'others',
      figure: true,
      wide: true,
      cell: ({ othersPerSecond }) => (othersPerSecond > 0 ? `${short(othersPerSecond)}/s` : '—'),
    },
    { head: 'who spends', text: true, cell: ({ nodes }) => <Spenders nodes={nodes} /> },
    {
      head: 'actions',
      mute: true,
      cell: ({ bucket, closedMs }) => (
        <ActButton action={closedMs > 0 ? openAction(bucket) : closeAction(bucket)} quiet />
      ),
    },
  ];
  return (
    <Section title="Buckets">
      {rows
        .filter(({ closedMs }) => closedMs > 0)
        .slice(0, 20)
        .map((bucket) => (
          <Closed key={bucket.bucket} bucket={bucket} />
        ))}
      <Listed
        list={list}
        rows={rows}
        caption="Buckets"
        columns={columns}
        keyOf={({ bucket }) => bucket}
        empty={
          <Empty command="npx longwatch budget list">
            Nobody has spent from it lately: buckets are here once a node asks for one.
          </Empty>
        }
      />
    </Section>
  );
}

function Closed({ bucket }: { bucket: BucketSummary }) {
  const { closedMs, closedReason } = bucket;
  return (
    <p class="trouble">
      <State is="closed" word={`Closed for another ${duration(closedMs)}: `} />
      <Data text={bucketText(bucket)} />
      {closedReason !== null && (
        <>
          {' — '}
          <Data text={closedReason} most={300} />
        </>
      )}
    </p>
  );
}

function Spenders({ nodes }: { nodes: BucketSummary['nodes'] }) {
  if (nodes.length === 0) return <span class="quiet">nobody</span>;
  const first = [...nodes].sort((a, b) => b.has - a.has).slice(0, 3);
  return (
    <>
      {first.map(({ node, has, wants }, i) => (
        <span key={node} title={`could spend ${short(wants)} a second`}>
          {i > 0 && ', '}
          <Data text={node} most={30} /> {short(has)}
        </span>
      ))}
      {nodes.length > 3 && <span class="quiet"> and {nodes.length - 3} more</span>}
    </>
  );
}
