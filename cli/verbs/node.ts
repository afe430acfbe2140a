/** `longwatch node drain|resume|target|weight NAME`: what is wanted of one node. */
import type { Command } from 'commander';
import type { DrainProgress, NodeHandle, WishResult } from '../../client/cluster/node';
import { TimedOutError } from '../../client/errors';
import { UsageError } from '../errors';
import { interruption } from '../interrupt';
import { plural, print, printJson, remark } from '../output';
import { inline } from '../plain';
import { operatorVerb, positiveTimeSpan, withLongwatch, type OperatorFlags } from '../verb';

interface DrainFlags extends OperatorFlags {
  tracker?: string;
  for?: string;
  wait?: boolean;
  patience?: string;
}

export function addNode(program: Command): void {
  const node = program.command('node').description('what is wanted of one worker: drain, resume, target, weight');
  operatorVerb(node, 'drain <name>', 'it gives its pools to other nodes and takes none, until it is resumed', [
    'longwatch node drain worker-1 --wait',
    'longwatch node drain worker-1 --for 30m --why "the kernel is updated"',
    'longwatch node drain worker-1 --tracker characters',
  ])
    .option('--tracker <name>', 'only its pools of this tracker')
    .option('--for <time>', 'then it is resumed by itself: 30m, 2h')
    .option('--wait', 'until it keeps nothing')
    .option('--patience <time>', '--wait gives up when no pool has left for so long (1m)')
    .action((name: string, flags: DrainFlags) => drain(name, flags));
  operatorVerb(node, 'resume <name>', 'it may keep pools again', [
    'longwatch node resume worker-1',
    'longwatch node resume worker-1 --tracker characters',
  ])
    .option('--tracker <name>', 'only pools of this tracker')
    .action((name: string, flags: DrainFlags) =>
      act(name, flags, (of) => of.resume({ tracker: flags.tracker, why: flags.why })),
    );
  operatorVerb(node, 'target <name> <pools>', 'the most pools that it is to keep, or share: its share of the load', [
    'longwatch node target worker-1 40',
    'longwatch node target worker-1 share',
  ]).action((name: string, pools: string, flags: OperatorFlags) => {
    const target = pools === 'share' ? null : wholeOf(pools);
    return act(name, flags, (of) => of.target(target, { why: flags.why }));
  });
  operatorVerb(node, 'weight <name> <weight>', 'its part of the load against the other nodes (1)', [
    'longwatch node weight worker-1 2   # twice as much as the others',
    'longwatch node weight worker-1 1',
  ]).action((name: string, weight: string, flags: OperatorFlags) => {
    const value = numberOf(weight);
    return act(name, flags, (of) => of.weight(value, { why: flags.why }));
  });
}

async function act(
  name: string,
  flags: OperatorFlags,
  command: (node: NodeHandle) => Promise<WishResult>,
): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const result = await command(longwatch.node(name));
    if (flags.json) return printJson(result);
    await print(sentence(result));
  });
}

async function drain(name: string, flags: DrainFlags): Promise<void> {
  const time = flags.for === undefined ? undefined : positiveTimeSpan(flags.for, '--for');
  const patience = flags.patience === undefined ? undefined : positiveTimeSpan(flags.patience, '--patience');
  if (patience !== undefined && !flags.wait) throw new UsageError('--patience says how --wait waits: give --wait too');
  await withLongwatch(flags, async (longwatch) => {
    const node = longwatch.node(name);
    const result = await node.drain({ tracker: flags.tracker, for: time, why: flags.why });
    if (!flags.json) await print(sentence(result));
    if (flags.wait) await wait(node, flags, patience);
    if (flags.json) await printJson(result);
  });
}

async function wait(node: NodeHandle, { tracker, json }: DrainFlags, patience: number | undefined): Promise<void> {
  const of = tracker === undefined ? '' : ` --tracker ${tracker}`;
  const signal = interruption(
    `not waited for any longer; '${node.name}' stays drained, until: npx longwatch node resume ${node.name}${of}`,
  );
  const told = new Told();
  try {
    await node.awaitDrained({ tracker, patience, signal, onProgress: (progress) => told.show(progress) });
  } catch (error) {
    // It was said when the signal came.
    if (signal.aborted) throw new TimedOutError('the drain goes on');
    throw error;
  }
  if (!json) await print(`it keeps nothing${tracker === undefined ? '' : ` of '${tracker}'`}`);
}

/** A line whenever something has changed, a second apart at least. */
class Told {
  private last = '';
  private at = 0;

  show({ left, why }: DrainProgress): void {
    const line = left === 0 ? '' : `${plural(left, 'pool')} left${why === undefined ? '' : `: ${why}`}`;
    if (line === '' || line === this.last || Date.now() - this.at < 1_000) return;
    this.last = line;
    this.at = Date.now();
    remark(line);
  }
}

function sentence(result: WishResult): string {
  const { drained, drainedFor, drainedUntil, target, weight, changed, ended } = result;
  const until = (time: string | null): string => (time === null ? '' : ` until ${time}`);
  const parts = [
    ...(drained ? [`drained${until(drainedUntil)}`] : []),
    ...drainedFor.map((drain) => `drained for ${inline(drain.tracker)}${until(drain.until)}`),
    ...(drained ? [] : [target === null ? 'has its share' : `keeps ${plural(target, 'pool')} at most`]),
    `weight ${weight}`,
  ];
  const gone = ended ? '; its process has ended: the next one of this name finds it so' : '';
  return `'${inline(result.node)}' ${changed ? 'is now' : 'was already'}: ${parts.join(', ')}${gone}`;
}

// ── Arguments ──

function wholeOf(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new UsageError(`a target is a number of pools, or share, not '${text}'`);
  return Number(text);
}

function numberOf(text: string): number {
  if (!/^\d{1,4}(\.\d{1,4})?$/.test(text))
    throw new UsageError(`a weight is a number, such as 1 or 0.5, not '${text}'`);
  return Number(text);
}
