/**
 * The state of a deployment at one moment, and what has changed since another one. `stream.ts` tells both to all who
 * listen; `/api/v1/state` answers the first.
 */
import type { BucketSummary } from '../client/budget';
import type { ClusterReport } from '../client/cluster/nodes';
import type { Diagnosis } from '../client/doctor/doctor';
import type { Longwatch } from '../client/longwatch';
import type { Status } from '../client/status';

export interface State {
  /** When it was read, by the database's clock, as all times in it. */
  at: string;
  status: Status;
  cluster: ClusterReport;
  doctor: Diagnosis;
  /** The first hundred, in the order of their names. */
  buckets: BucketSummary[];
}

/** @param doctor one that was asked a moment ago; it costs more than all the others */
export async function readState(longwatch: Longwatch, doctor?: Diagnosis): Promise<State> {
  const [at, status, cluster, buckets, diagnosis] = await Promise.all([
    longwatch.now(),
    longwatch.status(),
    longwatch.nodes(),
    longwatch.budget.list({ most: 100 }),
    doctor ?? longwatch.doctor(),
  ]);
  return { at, status, cluster, doctor: diagnosis, buckets };
}

/** The parts of a state as they are told: what has not changed is not told again. */
const PARTS = ['status', 'cluster', 'doctor', 'buckets'] as const;

/** A state that was written once for all who listen. */
export interface Told {
  at: string;
  /** Each part as JSON. */
  parts: Record<(typeof PARTS)[number], string>;
}

export function tell(state: State): Told {
  const parts = Object.fromEntries(PARTS.map((part) => [part, JSON.stringify(state[part])])) as Told['parts'];
  return { at: state.at, parts };
}

/** The whole of it, as JSON. */
export const snapshotOf = (told: Told): string => written(told, PARTS);

/** The parts that differ, as JSON: each stands for the one before it. */
export const deltaOf = (before: Told, now: Told): string =>
  written(
    now,
    PARTS.filter((part) => before.parts[part] !== now.parts[part]),
  );

function written({ at, parts }: Told, which: readonly (typeof PARTS)[number][]): string {
  return `{"at":${JSON.stringify(at)}${which.map((part) => `,"${part}":${parts[part]}`).join('')}}`;
}
