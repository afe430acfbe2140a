/** The draws of a history of a simulated world, by its seed (mulberry32): the same numbers for the same seed. */
export class Draws {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }
  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1));
  }
  /** Small and large ones alike. */
  size(least: number, most: number): number {
    return Math.round(Math.exp(this.between(Math.log(least), Math.log(most))));
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  one<T>(of: readonly T[]): T {
    return of[Math.floor(this.next() * of.length)]!;
  }
}
