/**
 * The form of a check of `longwatch doctor`, and the words that all of them use. For `checks.ts`, `cluster-checks.ts`
 * and `member-checks.ts`.
 */
import type { Fact, Facts } from './facts';

/** How bad: a problem keeps Longwatch from doing what it was asked; a notice is worth a look. */
type Severity = 'problem' | 'notice';

export interface Finding {
  /** The check's id, such as `pools-unkept`. */
  check: string;
  severity: Severity;
  /** One sentence. */
  what: string;
  /** The next step: a command to copy, or a sentence. */
  next: string;
}

export interface Check {
  id: string;
  /** The things that it reads, for people. */
  reads: string;
  /** The facts that it needs: where one is unknown, so is the answer. */
  needs: readonly (keyof Facts)[];
  look: (facts: KnownFacts) => Omit<Finding, 'check'>[];
}

/** The value of each fact; only those in `needs` may be read. */
export type KnownFacts = { readonly [Part in keyof Facts]: Facts[Part] extends Fact<infer T> ? T : never };

export const problem = (what: string, next: string): Omit<Finding, 'check'> => ({ severity: 'problem', what, next });
export const notice = (what: string, next: string): Omit<Finding, 'check'> => ({ severity: 'notice', what, next });

/** `100,000`. */
export const count = (value: number): string => value.toLocaleString('en-US');
export const plural = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** `850 ms`, `4.2 s`, `3 min`, `2 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'more than a minute and a half';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

export function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
