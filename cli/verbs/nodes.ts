/** `longwatch nodes`: every node, what it keeps, how it does, and a verdict in words. */
import type { Command } from 'commander';
import type { ClusterReport, HeartbeatReport, NodeReport } from '../../client/cluster/nodes';
import { age, count, plural, print, printJson, right, table } from '../output';
import { inline } from '../plain';
import { verb, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  all?: boolean;
}

export function addNodes(program: Command): void {
  verb(program, 'nodes', 'every worker: what it keeps, how it does, and what is wrong with it', [
    'longwatch nodes',
    'longwatch nodes --all --json',
  ])
    .option('--all', 'also nodes that have ended, for a day')
    .action((flags: Flags) =>
      withLongwatch(flags, async (longwatch) => {
        const report = await longwatch.nodes();
        const nodes = report.nodes.filter(({ ended, pools }) => flags.all || !ended || pools > 0);
        await (flags.json ? printJson({ ...report, nodes }) : print(render({ ...report, nodes })));
      }),
    );
}

function render({ nodes, heartbeats, wantedNodes }: ClusterReport): string {
  if (nodes.length === 0) return 'no worker is running; start one with: npx longwatch worker';
  const keeps = table(
    [{ head: 'node' }, { head: 'is' }, right('pools'), right('members'), right('load'), right('share'), right('target'), right('weight'), right('up'), { head: 'version' }, { head: 'labels' }],
    nodes.map((node) => [
      node.name,
      node.verdict.word,
      count(node.pools),
      count(node.members),
      units(node.load),
      units(node.share),
      node.target ?? 'share',
      node.weight,
      node.alive ? age(Date.parse(node.seenAt) - Date.parse(node.startedAt)) : '-',
      node.version,
      node.labels.join(', '),
    ]),
  ); // prettier-ignore
  const does = table(
    [{ head: 'last minute' }, right('loop'), right('cpu'), right('memory'), right('late p99'), right('fetched'), right('failed'), right('restarts'), right('declined'), right('moved'), right('fenced')],
    nodes.filter(({ alive, use }) => alive && use).map(({ name, use }) => [
      name,
      percent(use!.eventLoop),
      percent(use!.cpu),
      memory(use!.rssBytes),
      age(use!.minute.lateMs),
      ...[use!.minute.fetched, use!.minute.failed, use!.minute.restarts, use!.minute.declined, use!.minute.moved, use!.minute.fenced].map(count),
    ]),
  ); // prettier-ignore
  const alive = nodes.filter((node) => node.alive).length;
  return [
    keeps,
    '',
    does,
    '',
    ...nodes.filter(({ verdict }) => verdict.level !== 'good').map(sentence),
    ...heartbeats.filter(({ isOverBudget }) => isOverBudget).map(tooMany),
    `${plural(alive, 'node')}, ${count(wantedNodes)} wanted by load${noticed(heartbeats)}`,
  ].join('\n');
}

function sentence({ name, verdict, drainedUntil, drainedFor }: NodeReport): string {
  const ends = [
    ...(drainedUntil === null ? [] : [`until ${drainedUntil}`]),
    ...drainedFor.flatMap(({ tracker, until }) => (until === null ? [] : [`for ${inline(tracker)} until ${until}`])),
  ];
  return `${verdict.level}: ${inline(name)}: ${verdict.text}${ends.length === 0 ? '' : ` (${ends.join(', ')})`}`;
}

const tooMany = ({ tracker, timeoutMs }: HeartbeatReport): string =>
  `warning: ${tracker} has so many pools that a heartbeat timeout of ${age(timeoutMs)} is still more than a Temporal server should carry; give it larger pools (poolSize)`;

/** How soon a dead node is noticed. */
function noticed(heartbeats: readonly HeartbeatReport[]): string {
  if (heartbeats.length === 0) return '';
  const times = heartbeats.map(({ timeoutMs }) => timeoutMs);
  const [least, most] = [Math.min(...times), Math.max(...times)];
  return `; a dead node's pools go to others after ${age(least)}${most > least ? ` to ${age(most)}` : ''}`;
}

const units = (load: number | null): string | null => (load === null ? null : count(Math.round(load)));
const percent = (part: number): string => `${Math.round(part * 100)} %`;
const memory = (bytes: number): string => `${count(Math.round(bytes / 2 ** 20))} MiB`;
