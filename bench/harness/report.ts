/**
 * From the readings of all runs to what is printed: joined by measure, medians, the ratio, and whether a target was
 * met.
 */
import { count, table } from '../../cli/output';
import { median } from './figures';
import type { Reading } from './scenario';
import { isMet } from './target';

/** One line of `--json`. */
export interface Result {
  scenario: string;
  measure: string;
  ours: number;
  reference: number | null;
  referenceName: string | null;
  /** ours / reference; over several runs the median of their ratios. */
  ratio: number | null;
  unit: string;
  target: string | null;
  /** Null: there is no target. */
  met: boolean | null;
  runs: number;
}

/** Joins the readings of a scenario's runs. Within a run, a measure with another reference is another line. */
export function resultsOf(scenario: string, runs: readonly Reading[][]): Result[] {
  const joined = new Map<string, Reading[]>();
  for (const reading of runs.flat()) {
    const key = `${reading.measure}\n${reading.referenceName ?? ''}`;
    joined.set(key, [...(joined.get(key) ?? []), reading]);
  }
  return [...joined.values()].map((readings) => {
    const first = readings[0]!;
    const references = readings.flatMap(({ reference }) => (reference === undefined ? [] : [reference]));
    const ratios = readings.flatMap(({ ours, reference }) => (reference === undefined ? [] : [ours / reference]));
    const ours = median(readings.map((reading) => reading.ours));
    const ratio = ratios.length === 0 ? null : median(ratios);
    return {
      scenario,
      measure: first.measure,
      ours,
      reference: references.length === 0 ? null : median(references),
      referenceName: first.referenceName ?? null,
      ratio,
      unit: first.unit,
      target: first.target ?? null,
      met: isMet({ ...first, ours }, ratio),
      runs: readings.length,
    };
  });
}

/** The table for people. */
export function render(results: readonly Result[]): string {
  return table(
    [
      { head: 'scenario' },
      { head: 'measure' },
      { head: 'ours', right: true },
      { head: 'reference', right: true },
      { head: '' },
      { head: 'ratio', right: true },
      { head: 'target' },
      { head: 'met' },
    ],
    results.map((result) => [
      result.scenario,
      result.measure,
      quantity(result.ours, result.unit),
      result.reference === null ? null : quantity(result.reference, result.unit),
      result.referenceName ?? '',
      result.ratio === null ? null : figure(result.ratio),
      result.target ?? '',
      result.met === null ? '' : result.met ? 'yes' : 'NO',
    ]),
  );
}

/** `17,204/s`, `84.1 ms`, `0.061 events/id-hour`. */
function quantity(value: number, unit: string): string {
  return `${figure(value)}${unit.startsWith('/') || unit === '' ? '' : ' '}${unit}`;
}

/** Three digits that count; whole numbers above a hundred. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return 'more than can be told';
  return Math.abs(value) >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3)));
}
