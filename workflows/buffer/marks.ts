/**
 * Knows which messages of each sender are in, so that one that is said again is taken in once, and one that comes late,
 * however late, is taken in as well: what is missing between others stays missing. If there are too many gaps to
 * remember, the oldest messages are forgotten, not those that may still come: a repeat would be taken in twice, but
 * nothing is lost. Called by `intake.ts` and `carry.ts`.
 */
import { INIT_SENDER } from './contract';
import type { PushMessage } from './contract';
import type { MarkSpan, SenderMarks, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

const has = (marks: ShardState['senders'], sender: string): boolean =>
  Object.prototype.hasOwnProperty.call(marks, sender);

/** Whether a message is in already. */
export function isIn(state: ShardState, { sender, seq }: PushMessage): boolean {
  if (sender === undefined || seq === undefined || !has(state.senders, sender)) return false;
  const { upTo, above } = state.senders[sender]!;
  return seq <= upTo || above.some((span) => fromOf(span) <= seq && seq <= toOf(span));
}

/** Notes that it is in. False: it was. */
export function firstTime(state: ShardState, message: PushMessage, nowMs: number): boolean {
  const { sender, seq } = message;
  if (sender === undefined || seq === undefined) return true;
  if (!has(state.senders, sender)) {
    // A person who numbers by hand may begin at 0.
    const marks: SenderMarks = { upTo: Math.min(0, seq - 1), above: [], seenAt: nowMs };
    // By definition, whatever the name is: `__proto__` would be set otherwise.
    Object.defineProperty(state.senders, sender, {
      value: marks,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  const marks = state.senders[sender]!;
  marks.seenAt = nowMs;
  if (isIn(state, message)) return false;
  if (marks.above.length === 0 && seq === marks.upTo + 1) marks.upTo = seq;
  else addAbove(marks, seq);
  if (marks.above.length > SHARD_TUNABLES.spans) marks.above.shift();
  forgetSenders(state);
  return true;
}

/** Neighbours become one span, and what follows `upTo` goes into it. */
function addAbove(marks: SenderMarks, seq: number): void {
  const sorted = [...marks.above, seq].sort((a, b) => fromOf(a) - fromOf(b));
  const spans: MarkSpan[] = [];
  for (const span of sorted) {
    const last = spans.at(-1);
    if (last !== undefined && toOf(last) + 1 === fromOf(span)) spans[spans.length - 1] = [fromOf(last), toOf(span)];
    else spans.push(span);
  }
  if (fromOf(spans[0]!) === marks.upTo + 1) marks.upTo = toOf(spans.shift()!);
  marks.above = spans;
}

/** The newest message of a sender that is in. */
export function lastSeq(state: ShardState, sender: string): number {
  const marks = has(state.senders, sender) ? state.senders[sender] : undefined;
  return marks ? Math.max(marks.upTo, ...marks.above.map(toOf)) : 0;
}

/** Forgets, for senders whose messages came out of turn, the oldest beyond a gap. */
export function thinMarks({ senders }: ShardState, left: number): void {
  for (const marks of Object.values(senders)) {
    if (marks.above.length > left) marks.above = marks.above.slice(-left);
  }
}

function forgetSenders(state: ShardState): void {
  const names = Object.keys(state.senders).filter((name) => name !== INIT_SENDER);
  if (names.length <= SHARD_TUNABLES.senders) return;
  const oldest = names.reduce((a, b) => (state.senders[a]!.seenAt <= state.senders[b]!.seenAt ? a : b));
  delete state.senders[oldest];
}

const fromOf = (span: MarkSpan): number => (typeof span === 'number' ? span : span[0]);
const toOf = (span: MarkSpan): number => (typeof span === 'number' ? span : span[1]);
