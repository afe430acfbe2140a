/**
 * Says which messages of a batch the mail tables take, at the moment when it is written: the statement that inserts
 * decides by these rules, and tells the sender. So what waits is bounded where it waits, also while nobody keeps the
 * pool.
 */
import type { MemberLimits, Size } from './constants';

/** A message of a batch, in the order of its sender. */
export interface Told {
  readonly member: string;
  readonly bytes: number;
  readonly toldAt: number;
  readonly isRequest: boolean;
}

/** `wait`: there is no room; `too old`: nobody knows any more whether it was handled. */
export type Admission = 'taken' | 'wait' | 'too old';

/** @param waiting what waits of a member's mail; `full`: whether its pool's holder has said that there is no room */
export function admit(
  batch: readonly Told[],
  waiting: (member: string) => Size,
  full: (member: string) => boolean,
  now: number,
  limits: MemberLimits,
): Admission[] {
  const sizes = new Map<string, Size>();
  const stopped = new Set<string>();
  return batch.map(({ member, bytes, toldAt, isRequest }) => {
    if (now - toldAt > (isRequest ? limits.requestAgainMs : limits.tellAgainMs)) return 'too old';
    // The order is kept: one that comes after another that waits, waits as well.
    if (stopped.has(member)) return 'wait';
    const size = sizes.get(member) ?? waiting(member);
    if (full(member) || !hasRoom(size, bytes, limits.memberMail)) {
      stopped.add(member);
      return 'wait';
    }
    sizes.set(member, { entries: size.entries + 1, bytes: size.bytes + bytes });
    return 'taken';
  });
}

/** One that is larger than all of the room is taken by who has nothing else. */
function hasRoom({ entries, bytes }: Size, more: number, limit: Size): boolean {
  return entries === 0 || (entries < limit.entries && bytes + more <= limit.bytes);
}

/** Whether a pool is to be said to be full: at its bound, until a quarter of it is free again. */
export function isPoolFull(wasFull: boolean, waiting: Size, bound: Size): boolean {
  const part = wasFull ? 0.75 : 1;
  return waiting.entries >= part * bound.entries || waiting.bytes >= part * bound.bytes;
}
