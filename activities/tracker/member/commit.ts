/**
 * The commit of turns, as data: what one call of the store does, for many members of many pools. `pool-members.ts` gives
 * the parts; the store carries each pool's part out as a whole or not at all, and each member's within it.
 *
 * The store, in one transaction: locks the fences of these pools (one that somebody else has locked is for later),
 * compares token and roster version; then for each member that its row has the version `expected`, that all of its mail
 * is there to be deleted, that no request of it has an answer yet, and, where it is spawned, that no removal is newer.
 * A member of whom that is not true is refused, with nothing written of it.
 */
import type { MemberLimits } from './constants';
import type { EndedTurn } from './ended';
import type { Member } from './member';
import type { Again, Answer, Dead, Image, Pushed, Sent, Timer, Write } from './types';

export interface MemberPart {
  readonly id: string;
  /** The version of its row; 0: there is none. */
  readonly expected: number;
  /** What its row is to be, with the next version; undefined: as it is. */
  readonly row?: Pick<Image, 'state' | 'marks' | 'applied' | 'sets'>;
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

/** What lets the holder of a pool write. */
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
  /** `stale`: row, mail or answer were not as it thought. `write`: a statement of `ctx.write` failed. */
  readonly why: 'stale' | 'write';
  readonly error?: string;
}

/** What is left of the room in one commit. */
export class Room {
  turns: number;
  bytes: number;
  private isEmpty = true;

  constructor({ commitTurns, commitBytes }: Pick<MemberLimits, 'commitTurns' | 'commitBytes'>) {
    this.turns = commitTurns;
    this.bytes = commitBytes;
  }

  /** A turn that is larger than all of it goes alone. */
  take({ bytes }: EndedTurn): boolean {
    if (this.turns < 1 || (bytes > this.bytes && !this.isEmpty)) return false;
    this.isEmpty = false;
    this.turns--;
    this.bytes -= bytes;
    return true;
  }
}

/** How many of a member's ended turns go into a commit. One that writes goes alone, so that its failure is its own. */
export function turnsThatFit(ended: readonly EndedTurn[], room: Room): number {
  let count = 0;
  for (const turn of ended) {
    if (count > 0 && (turn.writes.length > 0 || ended[count - 1]!.writes.length > 0)) break;
    if (!room.take(turn)) break;
    count++;
  }
  return count;
}

/** The first `count` of its ended turns as one part. */
export function partOf({ address, version, base, ended }: Member, count: number): MemberPart {
  const turns = ended.slice(0, count);
  const { after } = turns.at(-1)!;
  const spawn = turns.find((turn) => turn.spawn !== undefined)?.spawn;
  return {
    id: address.id,
    expected: version,
    ...(isNewRow(base, after) && { row: rowOf(after) }),
    ...(spawn !== undefined && { spawn }),
    timersSet: [...after.timers.values()].filter((timer) => base.timers.get(timer.name) !== timer),
    timersGone: [...base.timers.keys()].filter((name) => !after.timers.has(name)),
    mailGone: turns.flatMap(({ gone }) => gone ?? []),
    again: turns.flatMap(({ again }) => again ?? []),
    dead: turns.flatMap(({ dead }) => dead ?? []),
    answers: turns.flatMap(({ answer }) => answer ?? []),
    tellAgain: turns.flatMap(({ tellAgain }) => tellAgain ?? []),
    sent: turns.flatMap(({ sent }) => sent),
    pushes: turns.flatMap(({ pushes }) => pushes),
    writes: turns.flatMap(({ writes }) => writes),
  };
}

/** A change of timers alone is one of the row too: its version is what orders commits. */
function isNewRow(base: Image, after: Image): boolean {
  const { state, marks, applied, sets, timers } = after;
  return (
    state !== base.state ||
    marks !== base.marks ||
    applied !== base.applied ||
    sets !== base.sets ||
    timers !== base.timers
  );
}

const rowOf = ({ state, marks, applied, sets }: Image): MemberPart['row'] => ({ state, marks, applied, sets });

/** The version of the row after this part of it. */
export const versionAfter = ({ expected, row }: MemberPart): number => expected + (row ? 1 : 0);

/**
 * Which transaction is next on a node's one connection for writing. Turns go at once; where both wait they take turns,
 * so that neither keeps the other out.
 */
export function nextTransaction(
  turnsWait: boolean,
  valuesWait: boolean,
  last: 'turns' | 'values',
): 'turns' | 'values' | undefined {
  if (turnsWait && valuesWait) return last === 'turns' ? 'values' : 'turns';
  if (turnsWait) return 'turns';
  return valuesWait ? 'values' : undefined;
}

/** Rows of values in one transaction. @param most where no turn waits */
export const valueRows = (turnsWait: boolean, most: number, { valueRows: cut }: MemberLimits): number =>
  turnsWait ? Math.min(most, cut) : most;
