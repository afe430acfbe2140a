/** The first page: what is wrong, in sentences; then each tracker, buffer, job, upstream and node on a line. */
import { count, plural } from '../lib/format';
import type { Live } from '../lib/live';
import type { State as Whole } from '../lib/state';
import { useTitle } from '../lib/use';
import { Findings } from './overview-findings';
import { Buffers, Buckets, Jobs, Nodes, Trackers } from './overview-lists';

export function Overview({ live: { state, stream } }: { live: Live }) {
  useTitle('Overview');
  if (!state) {
    return <p class="empty quiet">{stream === 'connecting' ? 'Asking the server…' : 'Nothing was read yet.'}</p>;
  }
  return (
    <>
      <Findings doctor={state.doctor} />
      <Totals state={state} />
      <Trackers trackers={state.status.trackers} />
      <Buffers buffers={state.status.buffers} />
      <Jobs jobs={state.status.jobs} />
      <Buckets buckets={state.buckets} />
      <Nodes nodes={state.cluster.nodes} />
    </>
  );
}

/** The size of it all, in a line. */
function Totals({ state: { status, cluster } }: { state: Whole }) {
  const sum = (values: number[]): number => values.reduce((all, value) => all + value, 0);
  const alive = cluster.nodes.filter((node) => node.alive).length;
  const figures: [string, string][] = [
    ['members', count(sum(status.trackers.map((tracker) => tracker.members)))],
    [
      'pools on shift',
      `${count(sum(status.trackers.map((tracker) => tracker.poolsOnShift)))} of ${count(sum(status.trackers.map((tracker) => tracker.pools)))}`,
    ],
    ['entries pending', count(sum(status.buffers.map((buffer) => buffer.pending + buffer.running)))],
    ['dead entries', count(sum(status.buffers.map((buffer) => buffer.dead)))],
    ['ticks under way', count(status.jobs.filter((job) => job.open !== null).length)],
    ['nodes', `${plural(alive, 'node')}, ${count(cluster.wantedNodes)} wanted`],
  ];
  return (
    <dl class="totals">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
