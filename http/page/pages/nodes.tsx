/** Nodes: what each keeps and how it does; drain, target, weight, and rebalance with its preview. */
import { drainAction, rebalanceAction, resumeNodeAction, targetAction, weightAction } from '../actions/cluster';
import { count, duration, percent, short } from '../lib/format';
import type { Live } from '../lib/live';
import { href, type Route } from '../lib/route';
import type { NodeReport } from '../lib/state';
import { useSparks } from '../lib/sparks';
import { useTitle } from '../lib/use';
import { ActButton } from '../parts/dialog';
import { Meter } from '../parts/figures';
import { Head, Missing } from '../parts/head';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, Empty, State } from '../parts/text';
import { History } from './history';
import { namesOf, NODES, nodeState } from './overview-lists';

const nodeActions = (node: NodeReport) => [
  node.drained || node.drainedFor.length > 0 ? resumeNodeAction(node.name) : drainAction(node.name),
  targetAction(node.name, node.target),
  weightAction(node.name, node.weight),
];

const COLUMNS = ([first, ...more]: readonly Column<NodeReport>[]): Column<NodeReport>[] => [
  {
    ...first!,
    cell: ({ name }) => (
      <a href={href('nodes', name)}>
        <Data text={name} />
      </a>
    ),
  },
  ...more,
  { head: 'target', figure: true, wide: true, cell: ({ target }) => target ?? 'share' },
  {
    head: 'actions',
    mute: true,
    cell: (node) =>
      !node.ended && (
        <span class="acts">
          {nodeActions(node).map((action) => (
            <ActButton key={action.title} action={action} quiet />
          ))}
        </span>
      ),
  },
];

export function NodesPage({ live }: { live: Live }) {
  useTitle('Nodes');
  const sparkOf = useSparks('node', namesOf(live.state?.cluster.nodes ?? []));
  if (!live.state) return null;
  const { nodes, wantedNodes, heartbeats } = live.state.cluster;
  const alive = nodes.filter((node) => node.alive).length;
  return (
    <>
      <header class="head">
        <div class="names">
          <h1>Nodes</h1>
          <span class="facts">
            <span>{count(alive)} alive</span>
            <span>{count(wantedNodes)} wanted for the load</span>
          </span>
        </div>
        <div class="acts">
          <ActButton action={rebalanceAction()} />
        </div>
      </header>
      {nodes.length === 0 ? (
        <Empty command="npx longwatch worker --config longwatch.config.ts">
          No worker runs, so nothing is done. Start one:
        </Empty>
      ) : (
        <Table
          caption="Nodes"
          columns={COLUMNS(NODES(sparkOf))}
          rows={nodes}
          keyOf={({ name }) => name}
          tone={({ ended }) => (ended ? 'off' : undefined)}
        />
      )}
      <Section title="Heartbeats">
        <ul class="lines">
          {heartbeats.map(({ tracker, timeoutMs, wantedMs, isOverBudget }) => (
            <li key={tracker}>
              <span>
                <Data text={tracker} />
                {`: a dead node’s pools go to others after ${duration(timeoutMs)}`}
              </span>
              {timeoutMs !== wantedMs && <span class="quiet"> ({duration(wantedMs)} is wanted)</span>}
              {isOverBudget && (
                <State is="notice" word="more heartbeats than a server is to carry: make pools larger" />
              )}
            </li>
          ))}
        </ul>
      </Section>
    </>
  );
}

export function NodePage({ live, route }: { live: Live; route: Route }) {
  const [, name = ''] = route.path;
  useTitle(name);
  if (!live.state) return null;
  const node = live.state.cluster.nodes.find((each) => each.name === name);
  if (!node) return <Missing kind="node" name={name} list="nodes" />;
  return (
    <>
      <Head
        list={['nodes', 'Nodes']}
        name={name}
        state={nodeState(node)}
        facts={
          <span class="facts">
            <Data text={node.verdict.text} most={200} />
          </span>
        }
        actions={node.ended ? [] : nodeActions(node)}
      />
      <NodeFacts node={node} />
      <History kind="node" names={[name]} />
    </>
  );
}

function NodeFacts({ node }: { node: NodeReport }) {
  const { use } = node;
  const facts: [string, string | preact.JSX.Element][] = [
    ['pools', `${count(node.pools)}${node.target === null ? '' : ` of ${count(node.target)} at most`}`],
    ['members', count(node.members)],
    [
      'load',
      node.load === null
        ? 'it does not say'
        : `${short(node.load)}${node.share === null ? '' : `, its share ${short(node.share)}`}`,
    ],
    ['weight', String(node.weight)],
    ['labels', node.labels.join(', ') || 'none'],
    ['keeps', node.keeps?.join(', ') ?? 'it does not say'],
    ['version', node.version ?? 'it does not say'],
    ['process', `${node.pid} on ${node.host}`],
    ['started', <Ago at={node.startedAt} />],
    ['heard of', <Ago at={node.seenAt} />],
    ...(node.drained
      ? ([['drained', node.drainedUntil === null ? 'until it is resumed' : <Ago at={node.drainedUntil} />]] as [
          string,
          string | preact.JSX.Element,
        ][])
      : []),
    ...node.drainedFor.map(({ tracker, until }): [string, string | preact.JSX.Element] => [
      `drained for ${tracker}`,
      until === null ? 'until it is resumed' : <Ago at={until} />,
    ]),
    ...(use
      ? ([
          [
            'event loop',
            <>
              <Meter share={use.eventLoop} label="event loop" tone={use.eventLoop > 0.8 ? 'warn' : 'accent'} />{' '}
              {percent(use.eventLoop)}, {duration(use.lagMs)} late
            </>,
          ],
          ['processor', `${use.cpu.toFixed(2)} cores`],
          [
            'memory',
            `${short(use.rssBytes / 1e6)} MB; heap ${short(use.heapBytes / 1e6)} of ${short(use.heapLimitBytes / 1e6)} MB`,
          ],
          [
            'last minute',
            `${count(use.minute.fetched)} runs, ${count(use.minute.failed)} failed, late p99 ${duration(use.minute.lateMs)}, ${count(use.minute.moved)} pools moved, ${count(use.minute.restarts)} restarts`,
          ],
        ] as [string, string | preact.JSX.Element][])
      : []),
  ];
  return (
    <dl class="facts-list">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === 'string' ? <Data text={value} most={300} /> : value}</dd>
        </div>
      ))}
    </dl>
  );
}
