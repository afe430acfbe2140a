/**
 * `longwatch history`: the figures of an operation, buffer, job, bucket or node over the last hours or days, each as
 * numbers and a line of bars.
 */
import type { Command } from 'commander';
import { SERIES } from '../../activities/series/kinds';
import type { Longwatch } from '../../client/longwatch';
import { SERIES_KINDS, type Series, type SeriesKind, type SeriesOptions } from '../../client/series';
import { didYouMean } from '../../config/suggest';
import { UsageError } from '../errors';
import { age, print, printJson, remark, right, table } from '../output';
import { inline } from '../plain';
import { meanOf, sparkline } from '../sparkline';
import { positiveTimeSpan, verb, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  operation?: string;
  kind?: string;
  last: string;
  step?: string;
}

/** Bars of a line. */
const WIDTH = 60;

export function addHistory(program: Command): void {
  verb(program, 'history <name>', 'the figures of the last hours: a tracker, buffer, job, bucket or node', [
    'longwatch history characters --operation location',
    'longwatch history blocks --last 24h',
    'longwatch history esi/errors --last 7d --json',
  ])
    .option('--operation <name>', 'only this operation of the tracker')
    .option('--kind <kind>', `the kind of the thing, where two have its name: ${SERIES_KINDS.join(', ')}`)
    .option('--last <time>', 'how far back: minutes are kept for a day, hours for a month', '6h')
    .option('--step <time>', 'the length of a point: whole minutes or hours')
    .action(history);
}

async function history(name: string, flags: Flags): Promise<void> {
  const lastMs = positiveTimeSpan(flags.last, '--last');
  if (flags.kind !== undefined && !Object.hasOwn(SERIES, flags.kind))
    throw new UsageError(`there is no kind '${flags.kind}'${didYouMean(flags.kind, SERIES_KINDS)}`);
  await withLongwatch(flags, async (longwatch) => {
    // By the clock that has dated them.
    const from = Date.parse(await longwatch.now()) - lastMs;
    const found = await find(longwatch, name, flags, { from, step: flags.step });
    if (found.length === 0) await mustBeKnown(longwatch, name);
    if (flags.json) return printJson({ series: found });
    if (found.length === 0) return print(`nothing is written of '${inline(name)}' yet; a minute is when it is over`);
    for (const [i, series] of found.entries()) await print(`${i > 0 ? '\n' : ''}${shown(series)}`);
    if (found.every(({ seconds }) => seconds.every((one) => one === 0)))
      remark('no node was there to count in this time');
  });
}

/** The things that have this name. */
async function find(longwatch: Longwatch, name: string, flags: Flags, options: SeriesOptions): Promise<Series[]> {
  const isTracker = (await longwatch.trackers()).includes(name);
  if (flags.operation !== undefined && !isTracker)
    throw new UsageError(`'${name}' is not a tracker, so it has no operations`);
  const given = flags.kind ?? (flags.operation === undefined ? undefined : 'operation');
  const kinds = given === undefined ? SERIES_KINDS : [given as SeriesKind];
  for (const kind of kinds) {
    const names = kind === 'operation' && isTracker ? await operationsOf(longwatch, name, flags.operation) : [name];
    const found = await longwatch.allSeries(kind, { ...options, names });
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * Nothing was written of it: it may be new.
 * @throws UsageError where nothing has that name
 */
async function mustBeKnown(longwatch: Longwatch, name: string): Promise<void> {
  const [trackers, buffers, jobs, upstreams, { nodes }] = await Promise.all([
    longwatch.trackers(),
    longwatch.bufferNames(),
    longwatch.jobs(),
    longwatch.upstreams(),
    longwatch.nodes(),
  ]);
  const names = [...trackers, ...buffers, ...jobs, ...nodes.map((node) => node.name)];
  // `esi/errors` is a bucket, `characters/location` an operation.
  const [first] = name.split('/');
  const isPartOfKnown = name.includes('/') && [...trackers, ...upstreams].includes(first!);
  if (names.includes(name) || isPartOfKnown) return;
  const hint = didYouMean(name, names) || '; what is gone may need a longer --last';
  throw new UsageError(`there is no tracker, buffer, job, bucket or node '${inline(name)}'${hint}`);
}

async function operationsOf(longwatch: Longwatch, tracker: string, operation: string | undefined): Promise<string[]> {
  const names = Object.keys((await longwatch.tracker(tracker).options()).operations);
  if (operation !== undefined && !names.includes(operation))
    throw new UsageError(`'${tracker}' has no operation '${operation}'${didYouMean(operation, names)}`);
  return (operation === undefined ? names : [operation]).map((one) => `${tracker}/${one}`);
}

/** A block of lines: a figure each. */
function shown(series: Series): string {
  const { kind, name, stepMs, figures, seconds } = series;
  const counts: readonly string[] = SERIES[kind].counts;
  const rows = Object.entries(figures)
    // The most of a figure is in its own line.
    .filter(([figure]) => !figure.endsWith('Most'))
    .map(([figure, values]) => {
      const isCount = counts.includes(figure);
      const course = isCount ? perSecond(values, seconds) : values;
      const mosts = figures[`${figure}Most`] ?? course;
      const format = formatOf(figure, isCount);
      const most = mosts.reduce<number | null>((a, b) => (b === null ? a : Math.max(a ?? b, b)), null);
      return [
        isCount ? `${figure}/s` : figure,
        format(course.findLast((value) => value !== null) ?? null),
        format(meanOf(course)),
        format(most),
        sparkline(course, WIDTH),
      ];
    });
  const columns = [
    { head: 'figure' },
    right('last'),
    right('mean'),
    right('most'),
    { head: `a point is ${age(stepMs)}` },
  ];
  return `${kind} ${inline(name)}\n${table(columns, rows)}`;
}

function perSecond(values: readonly (number | null)[], seconds: readonly number[]): (number | null)[] {
  return values.map((value, i) => (value === null || !seconds[i] ? null : value / seconds[i]));
}

function formatOf(figure: string, isCount: boolean): (value: number | null) => string {
  if (!isCount && figure.endsWith('Ms')) return age;
  if (figure.endsWith('Bytes')) return (value) => (value === null ? '-' : `${Math.round(value / 2 ** 20)} MB`);
  return (value) => {
    if (value === null) return '-';
    const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : 2;
    return value.toLocaleString('en-US', { maximumFractionDigits: digits });
  };
}
