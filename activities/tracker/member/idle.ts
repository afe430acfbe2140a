/**
 * Says who is awake, and what runs for whom. A member is awake from its first message on; one that has had nothing to
 * do for its time falls asleep, and a message or a timer wakes it. A pool sleeps when all of its members do.
 *
 * An operation says `while: 'always'`: it runs for every member, and keeps it awake, as operations of trackers
 * without messages always did. `while: 'awake'`: it runs for those who are awake anyway, and keeps nobody awake.
 */
export type While = 'always' | 'awake';

export interface Activity {
  /** The last message or timer that was handled. The values of an operation keep nobody awake. */
  readonly usedAt: number;
  /** Mail that is here, or turns that are not committed. */
  readonly hasMail: boolean;
}

/** Whether the operation runs for the member now. */
export const runsFor = (operation: While, isAwake: boolean): boolean => operation === 'always' || isAwake;

/**
 * Whether a member is idle: it may sleep now. A timer that is far away does not keep it awake, since it wakes it.
 * @param operations of its tracker that are enabled
 * @param idleMs Infinity: it never sleeps
 */
export function isIdle(member: Activity, operations: readonly While[], now: number, idleMs: number): boolean {
  if (operations.includes('always') || member.hasMail) return false;
  return now - member.usedAt >= idleMs;
}

/** Whether a pool may sleep, and what wakes it: undefined: it may not. Infinity: only a message does. */
export function sleepOf(
  members: Iterable<Activity>,
  timersAt: Iterable<number>,
  operations: readonly While[],
  now: number,
  idleMs: number,
): { readonly wakeAt: number } | undefined {
  for (const member of members) if (!isIdle(member, operations, now, idleMs)) return undefined;
  let wakeAt = Infinity;
  for (const at of timersAt) wakeAt = Math.min(wakeAt, at);
  // A timer that is due soon is not worth a sleep.
  return wakeAt - now < idleMs ? undefined : { wakeAt };
}
