/** Statements one after the other on each of some connections, for some seconds. Used by all parts of the scenario. */
import { percentile } from '../../harness/figures';

export interface Pace {
  /** A second, all connections together. */
  rate: number;
  p50: number;
  p99: number;
}

/** @param act one act of a connection; called again and again. */
export async function loop(
  connections: number,
  seconds: number,
  act: (connection: number) => Promise<unknown>,
): Promise<Pace> {
  const until = performance.now() + seconds * 1_000;
  const latencies: number[] = [];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async (_, connection) => {
      for (let at = performance.now(); at < until;) {
        await act(connection);
        const now = performance.now();
        latencies.push(now - at);
        at = now;
      }
    }),
  );
  const taken = (performance.now() - began) / 1_000;
  return { rate: latencies.length / taken, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
}
