/**
 * The arguments and the answer of a reader of limits. Used by every format beside this file; called by `index.ts`.
 */
import { httpDate } from '../../freshness';
import { FIGURES } from '../figures';
import type { Told } from '../ledger/messages';

export interface AnswerHead {
  status: number;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** Parsed JSON of the body, where the limit is told there. */
  body?: unknown;
}

/** One limit, as an answer tells of it. */
export interface ToldLimit extends Told {
  /** The upstream's own name of the limit: a group, a policy, a resource. Undefined: it has one only. */
  name?: string;
}

/** Reads an answer; an empty list: it tells nothing. `now` is in epoch seconds of this machine. Never throws. */
export type LimitReader = (answer: AnswerHead, now: number) => ToldLimit[];

/**
 * A number of tokens or seconds; undefined: absent, negative, no number, absurd. The least number of a list counts, for
 * a proxy may have joined two.
 */
export function amount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const numbers = text.split(',').map((part) => (/^\s*\d{1,15}(\.\d{1,9})?\s*$/.test(part) ? Number(part) : NaN));
  return numbers.some(Number.isNaN) ? undefined : Math.min(...numbers);
}

/** From here on a number is a time and not a number of seconds to wait: as seconds that would be thirty years. */
const EPOCH_SECONDS = 1e9;
const EPOCH_MILLISECONDS = 1e12;

/**
 * Seconds from the answer until a reset: said as seconds, as epoch seconds or milliseconds, or as a date. Times are
 * read against the answer's own `Date`, for the upstream's clock is not ours. A time that is over is 0; nothing is more
 * than a year away.
 */
export function secondsUntil(text: string | undefined, answer: AnswerHead, now: number): number | undefined {
  if (text === undefined) return undefined;
  const given = amount(text);
  let seconds: number;
  if (given !== undefined && given < EPOCH_SECONDS) seconds = given;
  else {
    const at = given === undefined ? httpDate(text, now * 1_000) : given >= EPOCH_MILLISECONDS ? given : given * 1_000;
    if (at === undefined) return undefined;
    seconds = at / 1_000 - serverNow(answer, now);
  }
  return Math.min(Math.max(0, seconds), FIGURES.year);
}

function serverNow(answer: AnswerHead, now: number): number {
  const date = answer.header('date');
  const at = date === undefined ? undefined : httpDate(date, now * 1_000);
  return at === undefined ? now : at / 1_000;
}

/** '15m', '1h', '60s', '90': seconds; undefined: not readable, or none. */
export function windowSeconds(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,9})\s*(s|m|h|d)?\s*$/.exec(text ?? '');
  if (!match) return undefined;
  const seconds = Number(match[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[(match[2] ?? 's') as 's' | 'm' | 'h' | 'd'];
  return seconds > 0 && seconds <= FIGURES.year ? seconds : undefined;
}

/** A limit of nothing would stop its bucket for ever: it is not believed. */
export function limitTokens(tokens: number | undefined): number | undefined {
  return tokens !== undefined && tokens > 0 ? tokens : undefined;
}
