/** Choices that a seed repeats. One source a scenario, so that none depends on how often another one has drawn. */
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export interface Choices {
  /** A whole number, both ends included. */
  between(least: number, most: number): number;
  /** One of them. @throws for an empty list. */
  one<T>(of: readonly T[]): T;
  /** So many of them, each once, in some order. */
  some<T>(of: readonly T[], count: number): T[];
}

export function choices(seed: number): Choices {
  const generator = xoroshiro128plus(seed);
  const between = (least: number, most: number): number => uniformInt(generator, least, most);
  const some = <T>(of: readonly T[], count: number): T[] => {
    const left = [...of];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(between(0, left.length - 1), 1)[0]!);
  };
  return {
    between,
    some,
    one: (of) => {
      if (of.length === 0) throw new RangeError('there is nothing to choose from');
      return of[between(0, of.length - 1)]!;
    },
  };
}

/** A seed for who gives none. */
export const anySeed = (): number => Math.floor(Math.random() * 2 ** 31);
