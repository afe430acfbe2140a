/**
 * The commit of turns, as data: what one call of the store does, for many members of many pools. `pool-members.ts`
 * gives the parts; the store carries each pool's part out as a whole or not at all, and each member's within it.
 *
 * The store, in one transaction: locks the fences of these pools (one that somebody else has locked is for later),
 * compares token and roster version; then for each member that its row has the version `expected`, that all of its
 * mail is there to be deleted, that no request of it has an answer yet, and, where it is spawned, that no removal is
 * newer. A member of whom that is not true is refused, with nothing written of it.
 */
import type { MemberLimits } from './constants';
import type { EndedTurn } from './ended';
import type { Member } from './member';
import type { Again, Answer, Dead, Image, Pushed, Sent, Timer, Write } from './types';

export interface MemberPart {
  readonly id: string;
  /** The version of its row; 0: there is none. */
  readonly expected: number;
  /** The row that it is to have, with the next version; undefined: the one that it has. */
  readonly row?: Pick<Image, 'state' | 'stateVersion' | 'marks' | 'applied' | 'wokenAt' | 'sets'>;
  /** It is to be a member, unless it was removed after this stamp. */
  readonly spawn?: number;
  readonly timersSet: readonly Timer[];
  readonly timersGone: readonly string[];
  readonly mailGone: readonly number[];
  readonly again: readonly Again[];
  readonly dead: readonly Dead[];
  readonly answers: readonly Answer[];
  readonly tellAgain: readonly { readonly client: string; readonly request: string }[];
  /** In the order in which they were sent. */
  readonly sent: readonly Sent[];
  readonly pushes: readonly Pushed[];
  /** Under a savepoint of this member; one that fails refuses it. */
  readonly writes: readonly Write[];
}

/** The numbers that let the holder of a pool write. */
export interface Fence {
  readonly tracker: string;
  readonly pool: number;
  readonly token: number;
  readonly rosterVersion: number;
}

export interface PoolPart extends Fence {
  readonly members: readonly MemberPart[];
}

export interface Commit {
  readonly pools: readonly PoolPart[];
}

/**
 * - `done`: but for the members that were refused.
 * - `fenced`: the pool has another holder.
 * - `later`: somebody has locked it; nothing of it was written.
 * - `roster`: its roster has changed; nothing was written, and what changed is to be read first.
 */
export interface Verdict {
  readonly verdict: 'done' | 'fenced' | 'later' | 'roster';
  readonly refused: readonly Refused[];
}

export interface Refused {
  readonly id: string;
  /**
   * - `stale`: its row, its mail or an answer were not as it thought; it is read again.
   * - `refused`: a statement of `ctx.write` failed, or who it sends to has no room; that is a turn's own failure.
   */
  readonly why: 'stale' | 'refused';
  readonly error?: string;
  /** The name of that error, where it has one: `MailboxFullError`. */
  readonly name?: string;
}

/** The error that its turn has failed with. */
export function refusal({ error = 'what the turn wrote was refused', name }: Refused): Error {
  return Object.assign(new Error(error), name !== undefined && { name });
}

/** The room that is left in one commit. */
export class Room {
  turns: number;
  bytes: number;
  private isEmpty = true;
  private refusedOne = false;

  constructor({ commitTurns, commitBytes }: Pick<MemberLimits, 'commitTurns' | 'commitBytes'>) {
    this.turns = commitTurns;
    this.bytes = commitBytes;
  }

  /** Whether no more fits: something did not, or nothing is left. */
  get isUsed(): boolean {
    return this.turns < 1 || this.refusedOne;
  }

  /** A turn that is larger than all of it goes alone. */
  take({ bytes }: EndedTurn): boolean {
    if (this.turns < 1 || (bytes > this.bytes && !this.isEmpty)) {
      this.refusedOne = true;
      return false;
    }
    this.isEmpty = false;
    this.turns--;
    this.bytes -= bytes;
    return true;
  }
}

/**
 * The parts of a commit, of these members, as far as there is room. They are marked as being in it.
 * @param only of this member, and one turn of it
 */
export function partsThatFit(
  members: Iterable<Member>,
  room: Room,
  only?: string,
): { parts: MemberPart[]; of: Handed['of'][number][] } {
  const of: Handed['of'][number][] = [];
  const parts: MemberPart[] = [];
  for (const member of members) {
    if (member.committing > 0 || (only !== undefined && member.address.id !== only)) continue;
    const turns = turnsThatFit(member.ended, room, only !== undefined || member.careful > 0 ? 1 : Infinity);
    if (turns === 0) break;
    member.committing = turns;
    parts.push(partOf(member, turns));
    of.push({ member, life: member.life, turns });
  }
  return { parts, of };
}

/** How many of a member's ended turns go into a commit. */
export function turnsThatFit(ended: readonly EndedTurn[], room: Room, most: number): number {
  let count = 0;
  while (count < ended.length && count < most && room.take(ended[count]!)) count++;
  return count;
}

/** The first `count` of its ended turns as one part. */
export function partOf({ address, version, base, ended }: Member, count: number): MemberPart {
  const turns = ended.slice(0, count);
  const { after } = turns.at(-1)!;
  const mailGone = turns.flatMap(({ gone }) => gone ?? []);
  const spawn = turns.find((turn) => turn.spawn !== undefined)?.spawn;
  return {
    id: address.id,
    expected: version,
    ...(isNewRow(base, after) && { row: rowOf(after) }),
    ...(spawn !== undefined && { spawn }),
    timersSet: [...after.timers.values()].filter((timer) => base.timers.get(timer.name) !== timer),
    timersGone: [...base.timers.keys()].filter((name) => !after.timers.has(name)),
    mailGone,
    again: againOf(turns, mailGone),
    dead: turns.flatMap(({ dead }) => dead ?? []),
    answers: turns.flatMap(({ answer }) => answer ?? []),
    tellAgain: turns.flatMap(({ tellAgain }) => tellAgain ?? []),
    sent: turns.flatMap(({ sent }) => sent),
    pushes: turns.flatMap(({ pushes }) => pushes),
    writes: turns.flatMap(({ writes }) => writes),
  };
}

/**
 * The last failure of each message that is still there: one may have failed and been handled since the last commit.
 */
function againOf(turns: readonly EndedTurn[], mailGone: readonly number[]): Again[] {
  const last = new Map(turns.flatMap(({ again }) => (again ? [[again.mail, again] as const] : [])));
  for (const id of mailGone) last.delete(id);
  return [...last.values()];
}

/** A change of timers alone is one of the row too: its version is what orders commits. */
function isNewRow(base: Image, after: Image): boolean {
  const { state, marks, applied, wokenAt, sets, timers } = after;
  return (
    state !== base.state ||
    marks !== base.marks ||
    applied !== base.applied ||
    wokenAt !== base.wokenAt ||
    sets !== base.sets ||
    timers !== base.timers
  );
}

function rowOf({ state, stateVersion, marks, applied, wokenAt, sets }: Image): MemberPart['row'] {
  return { state, stateVersion, marks, applied, wokenAt, sets };
}

/** The version of the row after this part of it. */
export const versionAfter = ({ expected, row }: MemberPart): number => expected + (row ? 1 : 0);

/** A part of a commit that is under way. */
export interface Handed {
  readonly part: PoolPart;
  readonly of: readonly { readonly member: Member; readonly life: number; readonly turns: number }[];
}

/** The outcome of a commit, for one pool. */
export interface Settled {
  /** Turns that are committed: their replies may leave. */
  readonly turns: readonly EndedTurn[];
  /** Turns that have failed because the store refused what they came to. */
  readonly failed: readonly { readonly id: string; readonly turn: EndedTurn }[];
  /** Members whose turns are void, and run again. */
  readonly void: readonly string[];
  readonly verdict: Verdict['verdict'];
}
