/**
 * Runs scenarios one after the other, each as often as asked. Called by `main.ts`; what was read goes to `report.ts`.
 */
import { Bench } from './bench';
import { resultsOf, type Result } from './report';
import type { Reading, Scenario } from './scenario';

export interface RunOptions {
  peers: boolean;
  /** Overrides each scenario's own number. */
  runs?: number;
  signal: AbortSignal;
  /** A line on stderr. */
  say: (line: string) => void;
}

export interface Ran {
  results: Result[];
  /** Remarks of the readings, each once. */
  notes: string[];
}

export async function runScenario(name: string, scenario: Scenario, options: RunOptions): Promise<Ran> {
  const runs = options.runs ?? scenario.runs ?? 1;
  const readings: Reading[][] = [];
  for (let run = 1; run <= runs; run++) {
    const prefix = runs > 1 ? `${name} (${run} of ${runs})` : name;
    const say = (line: string) => options.say(`${prefix}: ${line}`);
    readings.push(await once(scenario, new Bench(options.peers, options.signal, say)));
  }
  const notes = new Set(readings.flat().flatMap(({ note }) => (note === undefined ? [] : [`${name}: ${note}`])));
  return { results: resultsOf(name, readings), notes: [...notes] };
}

async function once(scenario: Scenario, bench: Bench): Promise<Reading[]> {
  try {
    bench.signal.throwIfAborted();
    return await scenario.run(bench);
  } finally {
    await bench.close();
  }
}
