/**
 * The words of an answer on one limit: its cost, what is left, whether it is a refusal of that limit. A user's code
 * that throws harms nothing but the word that it had. Asked by `book.ts` for each answer.
 */
import { readLimits, type ToldLimit } from '../headers';
import type { Told } from '../ledger/messages';
import type { Answered, UpstreamLimit } from '../spender';
import type { Verdict } from './place';

const MS = 1_000;
/** No request is believed to cost more while nobody knows the limit: no `greatestCost` is greater either. */
const GREATEST = 1_000_000;

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
  return { limit, cost: believed(costOf(limit, answer), limit, told), told, isMute, refusedFor, reason };
}

/** A user's function that throws is a cost that nobody knows. */
function costOf(limit: UpstreamLimit, answer: Answered): number {
  try {
    return limit.cost(answer) ?? NaN;
  } catch {
    return NaN;
  }
}

/**
 * No upstream lets a request through that costs more than there is: what is told beyond the whole limit would only keep
 * everybody from a bucket for longer, and a number without measure would spoil what headers are compared with for ever.
 */
function believed(cost: number, { rule }: UpstreamLimit, told: Told | undefined): number {
  const most = Math.max(rule.tokens ?? told?.limit ?? GREATEST, rule.greatestCost);
  return Number.isFinite(cost) ? Math.min(cost, most) : cost;
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
