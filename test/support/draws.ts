/** The draws of a simulated world, by its seed (mulberry32): the same numbers for the same seed, on any machine. */
// Bound once: under Jest each look at a global costs a microsecond.
const { imul, floor, round, log, sqrt, cos, exp, PI } = Math;

export class Draws {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }
  whole(least: number, most: number): number {
    return floor(this.between(least, most + 1));
  }
  /** Small and large ones alike. */
  size(least: number, most: number): number {
    return round(exp(this.between(log(least), log(most))));
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  one<T>(of: readonly T[]): T {
    return of[floor(this.next() * of.length)]!;
  }
  exponential(mean: number): number {
    return -log(1 - this.next()) * mean;
  }
  lognormal(median: number, sigma: number): number {
    const normal = sqrt(-2 * log(1 - this.next())) * cos(2 * PI * this.next());
    return median * exp(sigma * normal);
  }
}
