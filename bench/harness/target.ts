/**
 * Targets as people write them: `ratio >= 0.80` is of ours / reference, `<= 200 ms` of ours in the reading's unit. Used
 * by `report.ts`, which shows a missed one; missing one is not an error.
 */
import type { Reading } from './scenario';

interface Target {
  of: 'ours' | 'ratio';
  compare: '<=' | '>=';
  limit: number;
  unit: string;
}

/** @throws TypeError for a text that is not a target: a mistake in the scenario. */
export function parseTarget(text: string): Target {
  const match = /^(ratio )?(<=|>=) ([\d,]+(?:\.\d+)?)(?: (\S.*))?$/.exec(text);
  const limit = Number(match?.[3]?.replaceAll(',', ''));
  if (!match || Number.isNaN(limit)) {
    throw new TypeError(`'${text}' is not a target; write 'ratio >= 0.80' or '<= 200 ms'`);
  }
  const of = match[1] === undefined ? 'ours' : 'ratio';
  return { of, compare: match[2] as Target['compare'], limit, unit: match[4] ?? '' };
}

/** Whether the target was met; null without a target, or where the figure that it is about is missing. */
export function isMet(reading: Pick<Reading, 'ours' | 'unit' | 'target'>, ratio: number | null): boolean | null {
  if (reading.target === undefined) return null;
  const target = parseTarget(reading.target);
  if (target.of === 'ours' && target.unit !== reading.unit) {
    throw new TypeError(`the target '${reading.target}' is not in the unit of its reading, ${reading.unit}`);
  }
  const figure = target.of === 'ratio' ? ratio : reading.ours;
  if (figure === null || !Number.isFinite(figure)) return null;
  return target.compare === '<=' ? figure <= target.limit : figure >= target.limit;
}
