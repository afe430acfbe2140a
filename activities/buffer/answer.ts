/**
 * What `run` answered, read whatever it was: which entries of the batch come again and when, which are new, the state. Pure;
 * called by `batch.ts`. Entries are told apart as objects, else by key, else by value.
 */
import ms, { type StringValue } from 'ms';
import type { BatchAnswer, Ok, Retry } from '../../workers/config/buffer';
import type { Json, Kept } from '../../workflows/buffer/contract';
import { STATE_BYTES } from '../../workflows/buffer/options';

export interface ReadAnswer {
  kept: Kept[];
  fresh: { entries: Json[]; at?: number }[];
  state?: Json;
  reason?: string;
}

/** The entries that `run` was given, and where each stands in the batch. */
export interface Given {
  entries: Json[];
  positions: number[];
  /** Their JSON before `run` saw them; an object may be changed in place. */
  before: (string | undefined)[];
  keyOf: ((entry: Json) => string | null) | undefined;
  keys: (string | null)[] | undefined;
}

/** @throws TypeError that says what should have been answered. */
export function readAnswer(answer: BatchAnswer<unknown, unknown>, given: Given, now: number): ReadAnswer {
  const answers =
    answer === undefined || answer === null ? [] : ((Array.isArray(answer) ? answer : [answer]) as unknown[]);
  const result: ReadAnswer = { kept: [], fresh: [] };
  const match = matcher(given);
  for (const one of answers) {
    if (!isAnswer(one)) {
      throw new TypeError(`run answered ${show(one)}; answer nothing, ok(state), retry(entries) or a list of these`);
    }
    if (one.state !== undefined) result.state = readState(one.state);
    if (one.answer !== 'retry') continue;
    if (one.reason !== undefined) result.reason = String(one.reason);
    readRetry(one, given, match, result, now);
  }
  result.kept = joined(result.kept);
  return result;
}

function readRetry(
  one: Retry<unknown, unknown>,
  given: Given,
  match: (entry: Json) => number | undefined,
  result: ReadAnswer,
  now: number,
): void {
  const list = one.entries === undefined ? given.entries : (one.entries as readonly Json[]);
  if (!Array.isArray(list)) throw new TypeError(`retry takes a list of entries, not ${show(list)}`);
  for (const entry of list as Json[]) {
    const json = JSON.stringify(entry) as string | undefined;
    if (json === undefined) throw new TypeError(`an entry must be JSON, not ${show(entry)}`);
    const at = timeOf(one, entry, now);
    const i = match(entry);
    if (i === undefined) {
      const last = result.fresh.at(-1);
      if (last && last.at === at) last.entries.push(entry);
      else result.fresh.push({ entries: [entry], ...(at === undefined ? {} : { at }) });
      continue;
    }
    const changed = given.before[i] !== undefined ? json !== given.before[i] : entry !== given.entries[i];
    const kept: Kept = { from: given.positions[i]!, count: 1 };
    if (at !== undefined) kept.at = at;
    if (changed) Object.assign(kept, { entries: [entry], bytes: json.length });
    result.kept.push(kept);
  }
}

/** Finds the entry of the batch that a returned one is, each once. */
function matcher({ entries, keyOf, keys }: Given): (entry: Json) => number | undefined {
  const byIdentity = new Map<Json, number[]>();
  const byKey = new Map<string, number[]>();
  entries.forEach((entry, i) => {
    push(byIdentity, entry, i);
    const key = keys?.[i] ?? keyOf?.(entry) ?? null;
    if (key !== null) push(byKey, key, i);
  });
  const used = new Set<number>();
  const take = (candidates: number[] | undefined): number | undefined => {
    while (candidates && candidates.length > 0) {
      const i = candidates.shift()!;
      if (used.has(i)) continue;
      used.add(i);
      return i;
    }
    return undefined;
  };
  return (entry) => {
    const same = take(byIdentity.get(entry));
    if (same !== undefined || !keyOf) return same;
    const key = keyOf(entry);
    return key === null ? undefined : take(byKey.get(key));
  };
}

function push<K>(map: Map<K, number[]>, key: K, i: number): void {
  const list = map.get(key);
  if (list) list.push(i);
  else map.set(key, [i]);
}

function timeOf({ after, at }: Retry<unknown, unknown>, entry: Json, now: number): number | undefined {
  if (at !== undefined) {
    const time = Number(typeof at === 'function' ? at(entry) : at);
    if (!(time >= 0 && time <= 8.64e15)) throw new TypeError('`at` must be a time: epoch milliseconds or a Date');
    return Math.round(time);
  }
  if (after === undefined) return undefined;
  const delay = typeof after === 'number' ? after : (ms(after as StringValue) as number | undefined);
  if (delay === undefined || !Number.isFinite(delay) || delay < 0)
    throw new TypeError(`\`after\` must be a duration such as '5s', not ${show(after)}`);
  return now + Math.round(delay);
}

function readState(state: unknown): Json {
  const json = JSON.stringify(state) as string | undefined;
  if (json === undefined) throw new TypeError('the state must be JSON');
  if (json.length > STATE_BYTES) {
    throw new TypeError(`the state has ${json.length} characters of JSON; a shard keeps at most ${STATE_BYTES}`);
  }
  return state as Json;
}

/** Neighbours that come again alike become one run. */
function joined(kept: Kept[]): Kept[] {
  const runs: Kept[] = [];
  for (const one of kept.sort((a, b) => a.from - b.from)) {
    const last = runs.at(-1);
    const alike = last && last.from + last.count === one.from && last.at === one.at && !last.entries === !one.entries;
    if (!alike) {
      runs.push(one);
      continue;
    }
    last.count += one.count;
    if (one.entries) {
      last.entries!.push(...one.entries);
      last.bytes! += one.bytes!;
    }
  }
  return runs;
}

function isAnswer(value: unknown): value is Ok<unknown> | Retry<unknown, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const { answer } = value as { answer?: unknown };
  return answer === 'ok' || answer === 'retry';
}

function show(value: unknown): string {
  const text = typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
