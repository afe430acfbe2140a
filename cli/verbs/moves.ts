/** `longwatch rebalance` and `longwatch move`: pools from node to node, by hand. */
import type { Command } from 'commander';
import type { RebalancePreview, RebalanceResult } from '../../client/cluster/rebalance';
import { TimedOutError } from '../../client/errors';
import { UsageError } from '../errors';
import { interruption } from '../interrupt';
import { count, plural, print, printJson, remark, right, table } from '../output';
import { inline } from '../plain';
import { Progress } from '../progress';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

/** So many moves a second: each is a hand-over of about a tenth of a second, and 16 are on their way. */
const PER_SECOND = 20;
/** As many as a person reads through; `--json` has all of them. */
const SHOWN = 20;

export function addRebalance(program: Command): void {
  operatorVerb(program, 'rebalance', 'move pools until each node has its share; says first what that means', [
    'longwatch rebalance --dry-run',
    'longwatch rebalance',
  ])
    .option('--dry-run', 'only say what would be moved')
    .action((flags: OperatorFlags & { dryRun?: boolean }) =>
      withLongwatch(flags, async (longwatch) => {
        if (flags.dryRun) {
          const preview = await longwatch.previewRebalance();
          if (flags.json) return printJson(preview);
          await print(previewText(preview, 'would move'));
          if (preview.moves.length > 0) remark('do it without --dry-run');
          return;
        }
        const signal = interruption('no more pools are moved; those on their way go on');
        const progress = new Progress('pools');
        const shown = flags.json ? undefined : (preview: RebalancePreview) => remark(previewText(preview, 'move'));
        const onProgress = (ids: number, total: number) => progress.show({ step: 'moved', ids, total });
        const result = await longwatch
          .rebalance({ why: flags.why, signal, onPreview: shown, onProgress })
          .finally(() => progress.stop());
        await (flags.json ? printJson(result) : print(resultText(result)));
        if (result.failed.length > 0) throw new TimedOutError(`${plural(result.failed.length, 'pool')} did not move`);
      }),
    );
}

export function addMove(program: Command): void {
  operatorVerb(program, 'move <tracker> <pool>', 'give a pool to a node; waits until that node has taken it', [
    'longwatch move characters 3 --to worker-2',
  ])
    .requiredOption('--to <node>', 'the node that should keep it')
    .action((tracker: string, pool: string, flags: OperatorFlags & { to: string }) => {
      if (!/^\d{1,9}$/.test(pool)) throw new UsageError(`a pool is a whole number, not '${pool}'`);
      return withLongwatch(flags, async (longwatch) => {
        const result = await longwatch.tracker(tracker).move(Number(pool), { to: flags.to, why: flags.why });
        if (flags.json) return printJson(result);
        const { from, to, changed } = result;
        await print(
          `pool ${pool} of '${tracker}' ${changed ? `is on '${inline(to)}' now, not on '${inline(from)}'` : `was on '${inline(to)}' already`}`,
        );
      });
    });
}

function previewText({ nodes, moves, members, stuck }: RebalancePreview, word: string): string {
  if (nodes.length === 0) return 'no node is there that says what it keeps';
  const rows = table(
    [{ head: 'node' }, right('share'), right('load'), right('then'), right('pools'), right('then'), right('gives'), right('gets')],
    nodes.map(({ name, share, before, after, gives, gets }) => [
      name,
      ...[share, before.load, after.load].map((load) => count(Math.round(load))),
      ...[before.pools, after.pools, gives, gets].map(count),
    ]),
  ); // prettier-ignore
  const nothing = 'nothing to move: each node has its share, as far as whole pools go';
  const total =
    moves.length === 0
      ? nothing
      : `${plural(moves.length, 'pool')} ${word}, ${plural(members, 'member')}; about ${count(Math.ceil(moves.length / PER_SECOND))} s, and a tenth of a second for each member`;
  const list = moves
    .slice(0, SHOWN)
    .map(({ tracker, pool, from, to }) => `  ${tracker}/${pool}: ${inline(from)} → ${inline(to)}`);
  const more = moves.length > SHOWN ? [`  … and ${count(moves.length - SHOWN)} more`] : [];
  const held =
    stuck.length > 0
      ? [
          `${plural(stuck.length, 'pool')} must leave their node, and no other may keep them: ${stuck.slice(0, 5).join(', ')}`,
        ]
      : [];
  return [rows, '', total, ...list, ...more, ...held].join('\n');
}

function resultText({ moved, failed, moves }: RebalanceResult): string {
  if (moves.length === 0) return 'nothing was moved';
  const lines = failed
    .slice(0, SHOWN)
    .map(({ tracker, pool, to, why }) => `  ${tracker}/${pool} is not on ${inline(to)}: ${why}`);
  return [`${plural(moved, 'pool')} moved`, ...lines].join('\n');
}
