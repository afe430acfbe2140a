/** A tracker's pools: who keeps each, since when, crashes; those with something wrong first. */
import type { PoolSummary } from '../../../client/tracker/members';
import { moveAction } from '../actions/tracker';
import { at, getAll } from '../lib/api';
import { count } from '../lib/format';
import { useMe, workflowLink } from '../lib/me';
import type { NodeReport, TrackerSummary } from '../lib/state';
import { useAsked } from '../lib/use';
import { workflowId } from '../lib/workflows';
import { ActButton } from '../parts/dialog';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, State, Trouble } from '../parts/text';

/** More of them are not looked through for what is wrong. */
const MOST = 5_000;

export function Pools({ tracker, nodes }: { tracker: TrackerSummary; nodes: readonly NodeReport[] }) {
  const me = useMe();
  const path = at('trackers', tracker.name, 'pools');
  const { data, problem, again } = useAsked(
    path,
    (signal) => getAll<PoolSummary>(path, MOST, signal),
    tracker.pools > 1_000 ? 10_000 : 3_000,
  );
  const alive = nodes.filter((node) => node.alive).map(({ name }) => name);
  const columns: Column<PoolSummary>[] = [
    {
      head: 'pool',
      names: true,
      cell: (pool) => <PoolName pool={pool} link={workflowLink(me, workflowId.pool(tracker.name, pool.pool))} />,
    },
    { head: 'state', cell: (pool) => <State is={stateOf(pool)} word={wordOf(pool)} /> },
    { head: 'members', figure: true, cell: ({ members }) => count(members) },
    { head: 'node', cell: ({ node }) => (node === null ? '—' : <Data text={node} />) },
    { head: 'since', figure: true, cell: ({ takenAt }) => <Ago at={takenAt} /> },
    { head: 'shift', figure: true, wide: true, cell: ({ shift }) => shift ?? '—' },
    { head: 'crashes', figure: true, cell: ({ crashes }) => count(crashes) },
    {
      head: 'last error',
      text: true,
      wide: true,
      cell: ({ lastError }) => (lastError === null ? '' : <Data text={lastError} most={120} />),
    },
    { head: 'actions', mute: true, cell: (pool) => <ActButton action={moveAction(tracker.name, pool, alive)} quiet /> },
  ];
  return (
    <Section title="Pools" count={tracker.pools}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && (
        <Table
          caption="Pools"
          columns={columns}
          rows={[...data.items].sort((a, b) => weight(b) - weight(a) || a.pool - b.pool)}
          keyOf={({ pool }) => String(pool)}
        />
      )}
      {data && !data.isAll && <p class="quiet">These are the first {count(data.items.length)} pools.</p>}
    </Section>
  );
}

function PoolName({ pool: { pool }, link }: { pool: PoolSummary; link: string | undefined }) {
  return link ? (
    <a href={link} target="_blank" rel="noreferrer" title="its workflow in Temporal">
      {pool}
    </a>
  ) : (
    <>{pool}</>
  );
}

function stateOf({ quarantinedAt, unbegunSince, onShift }: PoolSummary): string {
  if (quarantinedAt !== null) return 'quarantined';
  if (unbegunSince !== null) return 'problem';
  return onShift ? 'kept' : 'idle';
}

function wordOf({ quarantinedAt, unbegunSince, unbegunOn, onShift }: PoolSummary): string {
  if (quarantinedAt !== null) return 'in quarantine';
  if (unbegunSince !== null) return `no node begins it on ${unbegunOn ?? 'its queue'}`;
  return onShift ? 'kept' : 'kept by nobody';
}

/** The wrong ones first. */
const weight = (pool: PoolSummary): number =>
  pool.quarantinedAt !== null ? 3 : pool.unbegunSince !== null ? 2 : pool.onShift ? (pool.crashes > 0 ? 0.5 : 0) : 1;
