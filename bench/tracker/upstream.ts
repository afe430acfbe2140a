/** The upstream of the tracker's scenarios (`upstream-process.ts`) from the scenario's side. */
import path from 'node:path';
import type { Bench } from '../harness/bench';
import type { Child } from '../harness/child';

export class Upstream {
  private constructor(
    private readonly child: Child,
    readonly origin: string,
  ) {}

  /** Answers each request after `latencyMs`. */
  static async start(bench: Bench, latencyMs: number): Promise<Upstream> {
    const child = await bench.child(path.join(__dirname, 'upstream-process.ts'), {
      UPSTREAM_LATENCY_MS: String(latencyMs),
    });
    return new Upstream(child, await child.call<string>('origin'));
  }

  /** Requests answered since its start. */
  served(): Promise<number> {
    return this.child.call('served');
  }

  /** From now on it notes when each id is first asked for. */
  watch(): Promise<void> {
    return this.child.call('watch');
  }

  /** By id, epoch milliseconds with fractions. */
  async firsts(): Promise<Map<string, number>> {
    return new Map(await this.child.call<[string, number][]>('firsts'));
  }

  /** From now on it notes how long each id is not asked for. An id counts from its first request on. */
  watchWaits(): Promise<void> {
    return this.child.call('watchWaits');
  }

  /** The longest time without a request of each id, milliseconds. */
  waits(): Promise<number[]> {
    return this.child.call('waits');
  }
}
