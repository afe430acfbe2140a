/**
 * Reads the answer of `run`, whatever it was: which entries of the batch come again and when, which are new, the state.
 * Pure; called by `batch.ts`. Entries are told apart as objects, else by key, else by value.
 */
import ms, { type StringValue } from 'ms';
import type { BatchAnswer, Ok, Retry } from '../../config/define/buffer';
import type { Returned } from '../../workflows/buffer/activities';
import { STATE_BYTES } from '../../workflows/buffer/options';
import { utf8Bytes } from '../../workflows/lib/size';
import { storable } from '../../workflows/lib/text';
import { LAST_TIME } from '../../workflows/lib/time';
import type { Json } from '../../workflows/lib/json';

/** The length of the reason why entries come again: it is kept with each of them. Bytes. */
const REASON_BYTES = 500;

export interface ReadAnswer {
  kept: Returned[];
  fresh: { entries: Json[]; at?: number }[];
  state?: Json;
  reason?: string;
}

/** The entries that `run` was given, and where each stands in the batch. */
export interface Given {
  entries: Json[];
  positions: number[];
  /** All of them as JSON before `run` saw them; an object may be changed in place. */
  before: string;
  /** Never throws: `run` has done its work. */
  keyOf: ((entry: Json) => string | null) | undefined;
  keys: (string | null)[] | undefined;
}

/** @throws TypeError that says what should have been answered. */
export function readAnswer(answer: BatchAnswer<unknown, unknown>, given: Given, now: number): ReadAnswer {
  const answers =
    answer === undefined || answer === null ? [] : ((Array.isArray(answer) ? answer : [answer]) as unknown[]);
  const result: ReadAnswer = { kept: [], fresh: [] };
  // Most batches are done with: only what comes again is looked for.
  let known: Known | undefined;
  for (const one of answers) {
    if (!isAnswer(one)) {
      throw new TypeError(`run answered ${show(one)}; answer nothing, ok(state), retry(entries) or a list of these`);
    }
    if (one.state !== undefined) result.state = readState(one.state);
    if (one.answer !== 'retry') continue;
    if (one.reason !== undefined) result.reason = storable(String(one.reason), REASON_BYTES);
    const entries: unknown = one.entries === undefined ? given.entries : one.entries;
    if (!Array.isArray(entries)) throw new TypeError(`retry takes a list of entries, not ${show(entries)}`);
    if (entries.length > 0) readRetry(one, entries as Json[], (known ??= new Known(given)), result, now);
  }
  result.kept = joined(result.kept);
  return result;
}

function readRetry(
  one: Retry<unknown, unknown>,
  entries: readonly Json[],
  known: Known,
  result: ReadAnswer,
  now: number,
): void {
  for (const entry of entries) {
    const json = JSON.stringify(entry) as string | undefined;
    if (json === undefined) throw new TypeError(`an entry must be JSON, not ${show(entry)}`);
    const at = timeOf(one, entry, now);
    const i = known.take(entry);
    // Named before: what was said of it first holds, and 'all' means the rest.
    if (i === 'taken') continue;
    if (i === undefined) {
      const last = result.fresh.at(-1);
      if (last && last.at === at) last.entries.push(entry);
      else result.fresh.push({ entries: [entry], ...(at === undefined ? {} : { at }) });
      continue;
    }
    const kept: Returned = { from: known.given.positions[i]!, count: 1 };
    if (at !== undefined) kept.at = at;
    if (json !== known.before(i)) Object.assign(kept, { entries: [entry], bytes: utf8Bytes(json) });
    result.kept.push(kept);
  }
}

/** The batch's entries, to be found again. */
class Known {
  private readonly byIdentity = new Map<Json, Candidates>();
  private readonly byKey = new Map<string, Candidates>();
  private readonly used = new Set<number>();
  private readonly old: Json[];

  constructor(readonly given: Given) {
    const { entries, keyOf, keys } = given;
    this.old = JSON.parse(given.before) as Json[];
    entries.forEach((entry, i) => {
      push(this.byIdentity, entry, i);
      const key = keys?.[i] ?? keyOf?.(entry) ?? null;
      if (key !== null) push(this.byKey, key, i);
    });
  }

  /** The JSON that the entry had. */
  before(i: number): string {
    return JSON.stringify(this.old[i]);
  }

  /**
   * Finds which of them a returned entry is, each once; `taken`: one that has been returned already. Undefined: it is
   * none of them.
   */
  take(entry: Json): number | 'taken' | undefined {
    const { keyOf } = this.given;
    const same = this.unused(this.byIdentity.get(entry));
    if (same !== undefined || !keyOf) return same;
    const key = keyOf(entry);
    const alike = key === null ? undefined : this.unused(this.byKey.get(key));
    // Another value of a key that has been returned: it is new, and the newer one of its key.
    return alike === 'taken' ? undefined : alike;
  }

  private unused(candidates: Candidates | undefined): number | 'taken' | undefined {
    if (!candidates) return undefined;
    while (candidates.next < candidates.list.length) {
      const i = candidates.list[candidates.next++]!;
      if (this.used.has(i)) continue;
      this.used.add(i);
      return i;
    }
    return 'taken';
  }
}

/** Entries that may be meant, and how far they have been asked for. */
interface Candidates {
  list: number[];
  next: number;
}

function push<K>(map: Map<K, Candidates>, key: K, i: number): void {
  const known = map.get(key);
  if (known) known.list.push(i);
  else map.set(key, { list: [i], next: 0 });
}

function timeOf({ after, at }: Retry<unknown, unknown>, entry: Json, now: number): number | undefined {
  if (at !== undefined) {
    const time = Number(typeof at === 'function' ? at(entry) : at);
    if (!(time >= 0 && time <= LAST_TIME)) throw new TypeError('`at` must be a time: epoch milliseconds or a Date');
    return Math.round(time);
  }
  if (after === undefined) return undefined;
  const delay = typeof after === 'number' ? after : (ms(after as StringValue) as number | undefined);
  if (delay === undefined || !(delay >= 0 && now + delay <= LAST_TIME))
    throw new TypeError(`\`after\` must be a duration such as '5s', not ${show(after)}`);
  return now + Math.round(delay);
}

function readState(state: unknown): Json {
  const json = JSON.stringify(state) as string | undefined;
  if (json === undefined) throw new TypeError('the state must be JSON');
  const bytes = utf8Bytes(json);
  if (bytes > STATE_BYTES) {
    throw new TypeError(`the state has ${bytes} bytes of JSON; a shard keeps at most ${STATE_BYTES}`);
  }
  return state as Json;
}

/** Neighbours that come again alike become one run. */
function joined(kept: Returned[]): Returned[] {
  const runs: Returned[] = [];
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
