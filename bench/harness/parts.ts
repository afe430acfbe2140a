/** Scenarios that have parts: all of them run, or those that `BENCH_PART=one,another` names. The scenarios call it. */
import type { Bench } from './bench';
import type { Reading } from './scenario';

export type Parts = Readonly<Record<string, (bench: Bench) => Promise<Reading[]>>>;

/** @throws TypeError for a part that is not there */
export async function runParts(bench: Bench, parts: Parts): Promise<Reading[]> {
  const wanted = process.env.BENCH_PART?.split(',') ?? Object.keys(parts);
  const readings: Reading[] = [];
  for (const name of wanted) {
    const part = parts[name];
    if (!part) throw new TypeError(`there is no part '${name}': ${Object.keys(parts).join(', ')}`);
    readings.push(...(await part(bench)));
  }
  return readings;
}
