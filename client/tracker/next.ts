/**
 * When each operation of a member runs next, and why not sooner: everything that holds it back, the last to end first.
 * The rules are pure (`nextRuns`); the facts are those of `show`, the tracker's row and the place of the member. Called
 * by `reads.ts`; shown by the page and by `longwatch show`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import type { RunState } from '../../workflows/lib/contract';
import type { TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import { NotTrackedError } from '../errors';
import { iso } from '../iso';
import { gateOf } from '../status';
import { readMember, type MemberDetails, type StoredValue } from './members';
import { findPlace, type PlaceState } from './questions';

/**
 * A thing that holds an operation of a member back: `stopped`, `paused` the tracker; `disabled` the operation;
 * `quarantined`, `unkept` its pool; `gate` is closed; `hold` an upstream asked for it; `failing` a wait after failures;
 * `budget` a bucket is empty or closed; `expires` the value counts until then; `interval` it is not time yet.
 */
export const WAIT_REASONS = [
  'stopped',
  'paused',
  'disabled',
  'quarantined',
  'unkept',
  'gate',
  'hold',
  'failing',
  'budget',
  'expires',
  'interval',
] as const;
export type WaitReason = (typeof WAIT_REASONS)[number];

export interface NextReason {
  reason: WaitReason;
  /** When it ends; null: somebody has to end it, or nobody knows. */
  until: string | null;
  /** In words: `the tracker is paused`. */
  text: string;
}

export interface NextRun {
  operation: string;
  /** At the earliest; null: nobody knows. In the past: it is due, and waits for its turn. */
  at: string | null;
  /** All that holds it back now, the last to end first; none: it is due. */
  reasons: NextReason[];
}

/** The facts by which it is told. */
export interface NextFacts {
  now: number;
  state: RunState;
  gate: 'open' | 'closed' | 'unknown' | null;
  place: PlaceState;
  options: TrackerOptions;
  member: Pick<MemberDetails, 'addedAt' | 'values' | 'holds' | 'waits'>;
}

type Told = { reason: WaitReason; until: number | null; text: string };

const FACTS: Statement = {
  name: 'client-next-facts',
  text: `select gate_open, ${ms('now() - greatest(gate_checked_at, gate_next_at)')} as gate_age_ms, ${ms('now()')} as now
         from longwatch.tracker where name = $1`,
};

interface FactsRow {
  [column: string]: unknown;
  gate_open: boolean | null;
  gate_age_ms: number | null;
  now: number;
}

/** An error to throw where the id is not tracked. */
export async function readNext(
  connections: Connections,
  tracker: { name: string; state: RunState; options: TrackerOptions },
  id: string,
): Promise<NextRun[] | NotTrackedError> {
  const { name, state, options } = tracker;
  const member = await readMember(connections, name, id);
  if (member instanceof NotTrackedError) return member;
  const [[facts], place] = await Promise.all([
    connections.read<FactsRow>(FACTS, [name]),
    findPlace(connections, name, id),
  ]);
  if (typeof place === 'string') return new NotTrackedError(name, id);
  return nextRuns({ now: facts!.now, state, gate: gateOf(options, facts!), place: place.state, options, member });
}

/** By operation, the most frequent first. */
export function nextRuns(facts: NextFacts): NextRun[] {
  const all = always(facts);
  const operations = Object.entries(facts.options.operations).sort(([, a], [, b]) => a.everyMs - b.everyMs);
  return operations.map(([operation, options]) => {
    const own = ofOperation(facts, operation, options);
    const reasons = [...all, ...own].filter(({ until }) => until === null || until > facts.now);
    reasons.sort((a, b) => (a.until === b.until ? 0 : (b.until ?? Infinity) - (a.until ?? Infinity)));
    const ends = reasons.map(({ until }) => until);
    const due = dueAt(facts, operation, options);
    const at = ends.includes(null) ? null : Math.max(due, ...(ends as number[]));
    return {
      operation,
      at: at === null ? null : iso(at),
      reasons: reasons.map(({ until, ...told }) => ({ ...told, until: until === null ? null : iso(until) })),
    };
  });
}

/** The things that hold all operations back. */
function always({ state, place }: NextFacts): Told[] {
  const told: Told[] = [];
  const add = (reason: WaitReason, text: string): number => told.push({ reason, until: null, text });
  if (state === 'stopped') add('stopped', 'the tracker is stopped');
  if (state === 'paused') add('paused', 'the tracker is paused');
  if (place === 'quarantined') add('quarantined', 'its pool has crashed three times in a row and is in quarantine');
  if (place === 'never kept') add('unkept', 'no node has taken its pool yet');
  if (place === 'node gone') add('unkept', 'the node that had its pool is not heard of any more');
  return told;
}

type Operation = TrackerOptions['operations'][string];

function ofOperation(facts: NextFacts, operation: string, options: Operation): Told[] {
  const { gate, member } = facts;
  const value = member.values.find((one) => one.operation === operation);
  const told: Told[] = [];
  if (!options.enabled) told.push({ reason: 'disabled', until: null, text: 'the operation is disabled' });
  if (options.gated && (gate === 'closed' || gate === 'unknown')) {
    const text =
      gate === 'closed' ? 'the gate is closed' : 'nobody knows whether the gate is open, so it counts as closed';
    told.push({ reason: 'gate', until: null, text });
  }
  for (const hold of member.holds) {
    if (hold.operation !== null && hold.operation !== operation) continue;
    told.push({
      reason: 'hold',
      until: Date.parse(hold.heldUntil),
      text: `the upstream asked to be left alone: ${hold.reason}`,
    });
  }
  for (const wait of member.waits) {
    if (wait.operation !== operation) continue;
    const text = `the bucket ${wait.bucket} ${wait.closed ? 'is closed' : 'is empty'}`;
    told.push({ reason: 'budget', until: wait.until === null ? null : Date.parse(wait.until), text });
  }
  return value ? [...told, ...ofValue(value, options)] : told;
}

function ofValue(value: StoredValue, { everyMs }: Operation): Told[] {
  const told: Told[] = [];
  const add = (reason: WaitReason, until: number, text: string): number => told.push({ reason, until, text });
  const heldUntil = value.heldUntil === null ? null : Date.parse(value.heldUntil);
  if (heldUntil !== null) {
    const asked = isHold(value) ? `the upstream asked for it: ${value.error}` : failedText(value.failures);
    add(isHold(value) ? 'hold' : 'failing', heldUntil, asked);
  }
  if (value.expiresAt !== null)
    add('expires', Date.parse(value.expiresAt), 'its value counts until then, says its upstream');
  const ran = lastRun(value);
  if (ran !== null && !isTimed(value))
    add('interval', ran + everyMs, 'it ran a short while ago, and its interval is not over');
  return told;
}

const failedText = (failures: number): string => `it has failed ${failures} time${failures === 1 ? '' : 's'} in a row`;
const isHold = ({ error }: StoredValue): boolean => error !== null && error.startsWith('HoldError:');
/** It has failed, and its next try has a time of its own, which may be sooner than the interval. */
const isTimed = (value: StoredValue): boolean => value.heldUntil !== null && !isHold(value);

/** By its interval alone; a member that never ran is due since it was added. */
function dueAt({ member }: NextFacts, operation: string, { everyMs }: Operation): number {
  const value = member.values.find((one) => one.operation === operation);
  const ran = value ? lastRun(value) : null;
  if (value === undefined || ran === null) return Date.parse(member.addedAt);
  return isTimed(value) ? Date.parse(value.heldUntil!) : ran + everyMs;
}

function lastRun({ fetchedAt, failedAt }: StoredValue): number | null {
  const times = [fetchedAt, failedAt].flatMap((time) => (time === null ? [] : [Date.parse(time)]));
  return times.length === 0 ? null : Math.max(...times);
}
