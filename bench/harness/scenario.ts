/**
 * A scenario and its results. Each file of `bench/scenarios/` exports one; `runner.ts` runs it,
 * `report.ts` prints what it read.
 */
import type { Bench } from './bench';

export interface Scenario {
  /** Its purpose in one line, for `--help`. */
  title: string;
  /** How often it is run when `--runs` does not say. @default 1 */
  runs?: number;
  /** One run, from its own servers to their end. Readings of several runs are joined by their `measure`. */
  run(bench: Bench): Promise<Reading[]>;
}

export interface Reading {
  /** The quantity that was read, in the same words in each run: `fetches, upstream of 50 ms`. */
  measure: string;
  /** Longwatch's figure, in `unit`. */
  ours: number;
  /** `/s`, `ms`, `s`, `B/id`, `events/id-hour`. */
  unit: string;
  /** The bare limit or a peer, read in the same run, in the same unit. */
  reference?: number;
  /** A name for `reference`: `bare undici loop`, `BullMQ job schedulers`. */
  referenceName?: string;
  /** The target, as the issue or the docs have it: `ratio >= 0.80`, `<= 200 ms`. See `target.ts`. */
  target?: string;
  /** How it was read, where that is not plain: said once below the table. */
  note?: string;
}

/** So that a scenario's file gets types without naming them. */
export function defineScenario(scenario: Scenario): Scenario {
  return scenario;
}
