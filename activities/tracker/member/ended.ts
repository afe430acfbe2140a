/**
 * Says what comes of an entry of mail: handled, failed, dead, or dropped unread. Each is an `EndedTurn`: the member
 * as it is afterwards, and the rows that are to be written with it. Made by `member.ts`, made into a commit by
 * `commit.ts`.
 */
import { errorText } from '../../../workflows/lib/text';
import type { MemberLimits } from './constants';
import type { Dropped, Entry } from './mailbox';
import { marked } from './marks';
import { waitAfter } from './retry';
import { ProcessEnded } from './strikes';
import { attemptOf, type Effects } from './turn';
import type { Address, Again, Answer, Dead, Failed, Image, Mail, Pushed, Sent, Timer, Write } from './types';

export interface EndedTurn {
  readonly entry: Entry;
  readonly outcome: 'handled' | 'failed' | 'dead' | Dropped;
  /** The member after it. */
  readonly after: Image;
  /** The member's first message that made it one: its stamp. */
  readonly spawn?: number;
  /** The row of mail that goes with it. */
  readonly gone?: number;
  readonly again?: Again;
  readonly dead?: Dead;
  readonly answer?: Answer;
  /** The answer is there already: whoever asks again is told to look. */
  readonly tellAgain?: { readonly client: string; readonly request: string };
  readonly sent: readonly Sent[];
  readonly pushes: readonly Pushed[];
  readonly writes: readonly Write[];
  readonly bytes: number;
  readonly error?: string;
}

/** The member, as a turn must know it. */
export interface Where {
  readonly address: Address;
  readonly image: Image;
  readonly limits: MemberLimits;
  /** Senders whose mail is still here: their numbers are not forgotten. */
  readonly awaited: (sender: string) => boolean;
  /** Now, by the database's clock. */
  readonly now: number;
  /** When it last had a message or a timer, as far as its node knows; -Infinity: it does not know. */
  readonly wokenAt: number;
}

const NOTHING = { sent: [], pushes: [], writes: [], bytes: 0 } as const;

export function handled(where: Where, entry: Entry, effects: Effects): EndedTurn {
  const { image } = where;
  const { what } = entry;
  const { state, stateVersion, sets, pushes, writes, bytes } = effects;
  const after: Image = {
    ...{ ...image, present: true, state, stateVersion, sets, timers: effects.timers },
    wokenAt: what.kind === 'apply' ? wokenBefore(where) : undefined,
  };
  const common = { entry, outcome: 'handled', pushes, writes, bytes } as const;
  if (what.kind === 'timer') {
    return { ...common, after: { ...after, timers: without(effects.timers, what.timer) }, sent: effects.sent };
  }
  if (what.kind === 'apply') {
    const applied = new Map(image.applied).set(what.brought.operation, what.brought.fetchedAt);
    return { ...common, after: { ...after, applied }, sent: effects.sent };
  }
  const { mail } = what;
  return {
    ...common,
    ...(image.present ? {} : { spawn: mail.id }),
    after: { ...after, marks: marksAfter(where, mail) },
    gone: mail.id,
    sent: mail.replyTo && !mail.request && effects.reply !== undefined ? withReply(effects, mail) : effects.sent,
    ...(mail.request && { answer: answerOf(mail.request, { json: effects.reply ?? 'null' }) }),
  };
}

/** @returns `waitMs`: nothing is to be stored, and the entry waits until that is over */
export function failed(where: Where, entry: Entry, thrown: unknown): EndedTurn | { waitMs: number } {
  const { image, address, limits, now } = where;
  const { what } = entry;
  const error = errorText(thrown);
  const strikes = thrown instanceof ProcessEnded ? thrown.strikes : 0;
  // These attempts have failed as well, and nobody was there to count them.
  const attempts = attemptOf(entry) + Math.max(0, strikes - 1);
  const waitMs = strikes > 0 ? undefined : waitAfter(attempts, `${address.id}/${entry.order}`, limits);
  if (what.kind === 'apply') {
    // The next fetch brings another value; this one is not tried for ever.
    if (waitMs !== undefined) return { waitMs };
    const applied = new Map(image.applied).set(what.brought.operation, what.brought.fetchedAt);
    return { ...NOTHING, entry, outcome: 'dead', after: { ...image, applied, wokenAt: wokenBefore(where) }, error };
  }
  if (what.kind === 'timer') {
    const { timer } = what;
    if (waitMs !== undefined) {
      const timers = new Map(image.timers).set(timer.name, { ...timer, at: now + waitMs, attempts });
      return { ...NOTHING, entry, outcome: 'failed', after: { ...image, timers, wokenAt: undefined }, error };
    }
    const after = { ...image, timers: without(image.timers, timer), wokenAt: undefined };
    const dead = {
      json: timer.json,
      from: `timer ${timer.name}`,
      attempts,
      error,
      ...(timer.trace && { trace: timer.trace }),
    };
    return { ...NOTHING, entry, outcome: 'dead', after, dead, error };
  }
  const { mail } = what;
  if (mail.request) {
    const answer = answerOf(mail.request, { error: { type: 'HandlerFailed', message: error } });
    return { ...NOTHING, ...gone(where, entry, mail), outcome: 'failed', answer, error };
  }
  if (waitMs !== undefined) {
    const again = { mail: mail.id, attempts, notBefore: now + waitMs, error };
    return { ...NOTHING, entry, outcome: 'failed', after: image, again, error };
  }
  const dead = deadOf(mail, attempts, error);
  return { ...NOTHING, ...gone(where, entry, mail), outcome: 'dead', bytes: mail.bytes, dead, error };
}

/** For a row that is written by what wakes nobody. */
function wokenBefore({ image, wokenAt }: Where): number | undefined {
  return wokenAt === -Infinity ? image.wokenAt : Math.max(wokenAt, image.wokenAt ?? wokenAt);
}

/** Mail that no handler sees. */
export function dropped(where: Where, entry: Entry, mail: Mail, why: Dropped): EndedTurn {
  const { request } = mail;
  if (why === 'twice') {
    const tellAgain = request && { client: request.client, request: request.id };
    return { ...NOTHING, entry, outcome: why, after: where.image, gone: mail.id, ...(tellAgain && { tellAgain }) };
  }
  const ended = { ...NOTHING, ...gone(where, entry, mail), outcome: why };
  if (request) return { ...ended, answer: answerOf(request, { error: whyDropped(why, where.address) }) };
  // Its sender was told so, or finds the dead letter; mail of before a removal goes with the member.
  return why === 'removed'
    ? ended
    : { ...ended, dead: deadOf(mail, mail.attempts, whyDropped(why, where.address).message) };
}

/** The answer to each request that goes with its member. */
export function removedBefore({ tracker, id }: Address): Failed {
  return { type: 'Removed', message: `${id} was removed from ${tracker} before it was handled` };
}

function whyDropped(why: Exclude<Dropped, 'twice'>, address: Address): Failed {
  if (why === 'removed') return removedBefore(address);
  if (why === 'too late')
    return { type: 'RequestTimedOut', message: 'its time was over before a handler began with it' };
  return { type: 'TooOld', message: 'it was told again when nobody knew any more whether it had been handled' };
}

function gone(where: Where, entry: Entry, mail: Mail): Pick<EndedTurn, 'entry' | 'after' | 'gone'> {
  const after = { ...where.image, marks: marksAfter(where, mail), wokenAt: undefined };
  return { entry, after, gone: mail.id };
}

function marksAfter({ image, limits, awaited, now }: Where, mail: Mail): Image['marks'] {
  return marked(image.marks, mail, limits, awaited, now);
}

function answerOf({ id, client }: NonNullable<Mail['request']>, answer: Answer['answer']): Answer {
  return { request: id, client, answer };
}

function deadOf({ json, from, replyTo, trace }: Mail, attempts: number, error: string): Dead {
  return { json, from, attempts, error, ...(replyTo && { replyTo }), ...(trace && { trace }) };
}

function withReply({ sent, reply }: Effects, { replyTo, trace }: Mail): Sent[] {
  return [...sent, { to: replyTo!, json: reply!, ...(trace && { trace }) }];
}

/** A timer that went off, unless its handler has set it again. */
function without(timers: Image['timers'], { name, set }: Timer): Image['timers'] {
  if (timers.get(name)?.set !== set) return timers;
  const left = new Map(timers);
  left.delete(name);
  return left;
}
