/**
 * The words of an answer on one limit: its cost, what is left, whether it is a refusal of that limit. A user's code
 * that throws harms nothing but the word that it had. Asked by `book.ts` for each answer.
 */
import { readLimits, type ToldLimit } from '../headers';
import type { Told } from '../ledger/messages';
import type { Answered, UpstreamLimit } from '../spender';
import type { Verdict } from './place';

const MS = 1_000;

export interface LimitVerdict extends Verdict {
  readonly limit: UpstreamLimit;
}

/** @param now epoch seconds of this machine */
export function verdictOn(limit: UpstreamLimit, answer: Answered, now: number): LimitVerdict {
  const { refusedForMs, status } = answer;
  const told = toldOf(limit, answer, now);
  const isRefused = refusedForMs !== undefined && refuses(limit, answer, told);
  const refusedFor = isRefused ? refusedForMs / MS : undefined;
  const isMute = told === undefined && status < 400;
  const reason = isRefused ? `answered ${status}` : '';
  return { limit, cost: costOf(limit, answer), told, isMute, refusedFor, reason };
}

/** A user's function that throws is a cost that nobody knows. */
function costOf(limit: UpstreamLimit, answer: Answered): number {
  try {
    return limit.cost(answer) ?? NaN;
  } catch {
    return NaN;
  }
}

function toldOf(limit: UpstreamLimit, answer: Answered, now: number): Told | undefined {
  if (limit.format === null) return undefined;
  let all: ToldLimit[];
  try {
    all = readLimits(answer, now, limit.format);
  } catch {
    return undefined;
  }
  // One of several counts: that of its name, else the one that has the least.
  const found = all.find(({ name }) => name === limit.name) ?? all.sort((a, b) => a.remaining - b.remaining)[0];
  if (!found) return undefined;
  // Its numbers only: what else a reader says of it has no place in the account, nor in the ledger.
  const { remaining, limit: tokens, window, reset } = found;
  return { remaining, limit: tokens, window, reset };
}

function refuses(limit: UpstreamLimit, answer: Answered, told: Told | undefined): boolean {
  if (limit.refuses) {
    try {
      return limit.refuses(answer);
    } catch {
      return true;
    }
  }
  if (answer.status === 420 || limit.rule.closesAtEnd) return answer.status === 420 && limit.rule.closesAtEnd;
  return told === undefined || told.remaining < limit.rule.greatestCost;
}
