/**
 * Tells which node kept an id at a time, by the fence of its pool. The upstream knows only who asked for the id: a node
 * that has the fence and dies or stands still before it asks is not seen there, though the id waits for it alone. Read
 * from PostgreSQL by `servers.ts` at the end, asked by `gaps.ts`.
 */

/** A node has taken the fence of a pool. */
export interface Taken {
  pool: number;
  node: string;
  /** Epoch milliseconds. */
  at: number;
}

export class Keepers {
  /** By pool, each in the order of its tokens. */
  private readonly taken = new Map<number, Taken[]>();

  constructor(
    private readonly poolOf: ReadonlyMap<string, number>,
    taken: readonly Taken[],
  ) {
    for (const one of taken) this.taken.set(one.pool, [...(this.taken.get(one.pool) ?? []), one]);
  }

  /** @returns the nodes that had the fence of the id's pool at some moment between the two, epoch milliseconds */
  of(id: string, from: number, to: number): string[] {
    const pool = this.poolOf.get(id);
    const all = pool === undefined ? [] : (this.taken.get(pool) ?? []);
    const isThen = ({ at }: Taken, place: number): boolean => at <= to && (all[place + 1]?.at ?? Infinity) >= from;
    return [...new Set(all.filter(isThen).map(({ node }) => node))];
  }
}
