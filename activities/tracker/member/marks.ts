/**
 * A sender's numbers at one member: which of them were handled. They are stored with the member's state, in the same
 * row and commit, so a split moves none of them and a removal forgets them. Asked by `mailbox.ts` before a message is
 * handled; noted by `turn.ts` when its turn has ended.
 *
 * A sender goes on to its next batch only when the last one is stored, and its messages to one member are handled one
 * after another. So the last number says of all below it that they were handled, but for those that were waited for
 * in vain: these are remembered, and taken late. Nothing that comes is lost, and nothing is handled twice.
 */
import type { MemberLimits } from './constants';
import type { Mail, Mark, Marks } from './types';

/**
 * - `next`: it is its turn.
 * - `late`: it was waited for in vain; its order is lost, it is not.
 * - `twice`: it was handled before.
 * - `gap`: one before it has not been seen.
 */
export type Told = 'next' | 'late' | 'twice' | 'gap';

export function toldOf(marks: Marks, { from, number, previous }: Mail): Told {
  if (number === undefined) return 'next';
  const mark = marks.get(from);
  if (mark && number <= mark.last) return mark.missing.some((range) => isIn(range, number)) ? 'late' : 'twice';
  const isGap = previous !== undefined && previous > (mark?.last ?? 0);
  return isGap ? 'gap' : 'next';
}

/**
 * The marks after this message was handled, or given up. Marks of senders of whom nothing was handled for a day are
 * forgotten, and the oldest of too many; `awaited` are those whose mail is still here.
 * @param now by the database's clock: what waited for days (its tracker was paused, it has failed) was told twice then,
 *   and the repetition may be out of memory still
 */
export function marked(
  marks: Marks,
  mail: Pick<Mail, 'from' | 'number' | 'previous' | 'storedAt'>,
  limits: MemberLimits,
  awaited: (sender: string) => boolean,
  now: number,
): Marks {
  const { from, number, previous, storedAt } = mail;
  if (number === undefined) return marks;
  const after = new Map(marks);
  // By the time at which this message came, not by now: a repetition of another one may lie in the tables as long.
  for (const [sender, { at }] of after) {
    if (at < storedAt - limits.marksMs && sender !== from && !awaited(sender)) after.delete(sender);
  }
  const mark = next(after.get(from), number, previous, Math.max(storedAt, now), limits);
  // In the order in which they were heard of.
  after.delete(from);
  after.set(from, mark);
  for (const sender of after.keys()) {
    if (after.size <= limits.senders) break;
    if (sender !== from && !awaited(sender)) after.delete(sender);
  }
  return after;
}

/** The marks after a removal that has deleted this mail: told again, it is not handled in another life. */
export function sealed(marks: Marks, mail: readonly Pick<Mail, 'from' | 'number' | 'storedAt'>[]): Marks {
  const after = new Map(marks);
  for (const { from, number, storedAt } of mail) {
    if (number === undefined) continue;
    const { last = 0, at = 0, missing = [] } = after.get(from) ?? {};
    after.set(from, { last: Math.max(last, number), at: Math.max(at, storedAt), missing });
  }
  return after;
}

function next(
  mark: Mark | undefined,
  number: number,
  previous: number | undefined,
  handledAt: number,
  limits: MemberLimits,
): Mark {
  const last = mark?.last ?? 0;
  const at = Math.max(mark?.at ?? 0, handledAt);
  const missing = (mark?.missing ?? []).flatMap((range) => without(range, number, previous));
  if (previous !== undefined && previous > last) missing.push([last + 1, previous]);
  return { last: Math.max(last, number), missing: missing.slice(-limits.missing), at };
}

type Range = readonly [number, number];

const isIn = ([first, last]: Range, number: number): boolean => first <= number && number <= last;

/**
 * The parts of a range that are still missing after this number came: nothing was sent between it and the one before.
 */
function without(range: Range, number: number, previous: number | undefined): Range[] {
  if (!isIn(range, number)) return [range];
  const [first, last] = range;
  const parts: Range[] = [
    [first, previous ?? number - 1],
    [number + 1, last],
  ];
  return parts.filter(([from, to]) => from <= to);
}

/**
 * As it is stored: a list of `[sender, last, at, ...ends of the missing ranges]`, so that no name of a sender means
 * anything to JSON.
 */
export function marksToJson(marks: Marks): string {
  return JSON.stringify([...marks].map(([sender, { last, at, missing }]) => [sender, last, at, ...missing.flat()]));
}

export function marksFromJson(json: string | null): Marks {
  const rows = JSON.parse(json ?? '[]') as [string, number, number, ...number[]][];
  return new Map(
    rows.map(([sender, last, at, ...ends]) => {
      const missing: Range[] = [];
      for (let i = 0; i + 1 < ends.length; i += 2) missing.push([ends[i]!, ends[i + 1]!]);
      return [sender, { last, at, missing }];
    }),
  );
}
