/**
 * From counters that grow to rates: the counts of the last minutes, by name, each with its time. Pure; fed by
 * `live.ts` with every state, read for sparklines and figures 'a second'.
 */
export interface Sample {
  /** Milliseconds. */
  at: number;
  value: number;
}

/** Two minutes of one sample a second. */
const KEPT = 120;
/** A rate over less says more of the second than of the work. Milliseconds. */
const WINDOW_MS = 10_000;

export class Rates {
  private readonly samples = new Map<string, Sample[]>();

  /**
   * A counter that fell has begun anew (its node was started again), and a clock that went back is another one: what
   * was before says nothing any more.
   */
  note(name: string, at: number, value: number): void {
    const known = this.samples.get(name) ?? [];
    const last = known.at(-1);
    if (last && at === last.at) return;
    if (last && (at < last.at || value < last.value)) known.length = 0;
    known.push({ at, value });
    if (known.length > KEPT) known.shift();
    this.samples.set(name, known);
  }

  /** Names that nobody notes any more are let go. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.samples.keys()) if (!names.has(name)) this.samples.delete(name);
  }

  /** A second, over the last ten seconds or what there is; undefined before the second sample. */
  rate(name: string): number | undefined {
    const known = this.samples.get(name);
    const last = known?.at(-1);
    if (!known || !last) return undefined;
    const first = known.find(({ at }) => last.at - at <= WINDOW_MS)!;
    return first === last ? undefined : ((last.value - first.value) / (last.at - first.at)) * 1_000;
  }

  /** A second, between each two samples: for a sparkline. */
  line(name: string): number[] {
    const known = this.samples.get(name) ?? [];
    return known.slice(1).map(({ at, value }, i) => ((value - known[i]!.value) / (at - known[i]!.at)) * 1_000);
  }
}
