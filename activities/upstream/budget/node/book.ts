/**
 * One limited upstream on this node: which buckets a use spends from, and what an answer says of each. Keys that are
 * made of an answer's header are learned here, by operation and kind of path. Kept by `spender.ts`; asked by `spend.ts`
 * for every reservation and every answer.
 */
import { readLimits, type ToldLimit } from '../headers';
import type { Told } from '../ledger/messages';
import { shownKey, storedKey } from '../keys';
import type { Spent } from '../../telemetry';
import { shapeOf } from '../../lane';
import type { Answered, LimitedUpstream, RequestLine, UpstreamLimit, Use } from '../spender';
import { Probe } from './probe';
import type { Place, Verdict } from './place';
import type { ShiftPurse } from './purse';
import type { SharedBucket } from './shared';

/** Kinds of requests whose headers and costs are remembered: a config has tens. */
const MOST_LEARNED = 5_000;
/** Requests of a run follow the last runs with this weight; no run reserves more of them. */
const RUN_WEIGHT = 0.1;
const MOST_REQUESTS = 20;
const MS = 1_000;

/** A header that keys are made of, as the last answer of a kind had it. */
export interface LearnedHeader {
  upstream: string;
  kind: string;
  header: string;
  value: string | null;
}

export interface BookHost {
  readonly address: string;
  shared(limit: UpstreamLimit, key: string): SharedBucket;
  /** Epoch seconds of this machine, for headers that name a time. */
  wall(): number;
  monotonic(): number;
  /** Told of each answer, for metrics. */
  noted?(spent: Spent): void;
}

export class Book {
  /** By `by` and kind of path, then by header: its value in the last answer, null where answers have none. */
  private readonly headers = new Map<string, Map<string, string | null>>();
  /** Headers that keys ask for. */
  private readonly asked = new Set<string>();
  /** Limits whose keys ask for headers. */
  private readonly byHeader = new Set<string>();
  private readonly probes = new Map<string, Probe>();
  /** Learned here, and known to no other node. */
  private untold: LearnedHeader[] = [];
  /** The last request of each `by`, for keys that are made of it. */
  private readonly requests = new Map<string, RequestLine>();
  /** Requests that a run of this `by` makes. */
  private readonly runs = new Map<string, number>();

  constructor(
    public upstream: LimitedUpstream,
    private readonly host: BookHost,
  ) {}

  /** In key order: all that take from several take in one order. */
  placesOf(use: Use, request: RequestLine | undefined): Place[] {
    const places: Place[] = [];
    for (const limit of this.upstream.limits) {
      const place = this.placeOf(limit, use, request);
      if (place) places.push(place);
    }
    return places;
  }

  /** Undefined: the limit does not concern it. */
  placeOf(limit: UpstreamLimit, use: Use, request: RequestLine | undefined): Place | undefined {
    const found = this.keyOf(limit, use, request);
    if (found === undefined) return undefined;
    if (found === UNKNOWN) return this.probeOf(limit, use, request);
    const scope = `${this.upstream.name}/${limit.name}`;
    const key = storedKey(scope, found.key, limit.secret);
    if (!found.isOfMember) return this.host.shared(limit, key);
    const own = (use.purse as ShiftPurse).placeOf(this.upstream.name, limit, key, use.slot!);
    return (
      own ??
      this.host.shared(
        limit,
        storedKey(
          scope,
          found.key.replace(ANY_MEMBER, () => use.id!),
          limit.secret,
        ),
      )
    );
  }

  private keyOf(
    limit: UpstreamLimit,
    use: Use,
    request: RequestLine | undefined,
  ): { key: string; isOfMember: boolean } | typeof UNKNOWN | undefined {
    const key = this.keyFor(limit, use, use.id, request);
    if (key === undefined || key === UNKNOWN) return key;
    if (limit.scope !== 'member' || use.purse === undefined || use.slot === undefined || use.id === undefined)
      return { key, isOfMember: false };
    // The members of a group have one limit, which the key names without the member. A key that differs by more than
    // that (the token of a member's owner) may be another member's too.
    const group = this.keyFor(limit, use, ANY_MEMBER, request);
    const isOfMember = typeof group === 'string' && group !== key && group.replace(ANY_MEMBER, () => use.id!) === key;
    return isOfMember ? { key: group, isOfMember } : { key, isOfMember };
  }

  private keyFor(
    limit: UpstreamLimit,
    use: Use,
    id: string | undefined,
    request: RequestLine | undefined,
  ): string | typeof UNKNOWN | undefined {
    let isUnknown = false;
    let isAbsent = false;
    const { address } = this.host;
    const header = (name: string): string | undefined => {
      this.asked.add(name);
      this.byHeader.add(limit.name);
      const value = this.headerOf(name, use, request);
      if (value === undefined) isUnknown = true;
      if (value === null) isAbsent = true;
      return value ?? undefined;
    };
    let key: string | undefined;
    try {
      key = limit.key({ id, address, request: request ?? this.requests.get(use.by) ?? NOTHING, header });
    } catch (thrown) {
      // It counted on a header that is not there: that is all that has to be known of it.
      if (!isUnknown && !isAbsent) throw thrown;
    }
    if (isUnknown) return UNKNOWN;
    return isAbsent || key === undefined ? undefined : String(key);
  }

  /** Once the answer is here. A key function that throws then leaves it where it was taken. */
  placeOfAnswer(limit: UpstreamLimit, use: Use, request: RequestLine, taken: Place | undefined): Place | undefined {
    try {
      return this.placeOf(limit, use, request);
    } catch {
      return taken;
    }
  }

  private headerOf(name: string, { by }: Use, request: RequestLine | undefined): string | null | undefined {
    const kind = request && this.headers.get(kindOf(by, request))?.get(name);
    return kind === undefined ? this.headers.get(by)?.get(name) : kind;
  }

  private probeOf(limit: UpstreamLimit, { by }: Use, request: RequestLine | undefined): Probe {
    const id = `${limit.name} ${request === undefined || !this.headers.has(by) ? by : kindOf(by, request)}`;
    let probe = this.probes.get(id);
    if (!probe) {
      probe = new Probe(limit, this.upstream.shares, () => this.host.monotonic());
      this.probes.set(id, probe);
    }
    return probe;
  }

  /** The headers that keys are made of, as an answer has them. */
  learn({ by }: Use, answer: Answered): void {
    if (this.requests.size >= MOST_LEARNED) this.requests.clear();
    this.requests.set(by, answer.request);
    if (this.asked.size === 0) return;
    let isNews = false;
    for (const where of [by, kindOf(by, answer.request)]) {
      let known = this.headers.get(where);
      if (!known) {
        if (this.headers.size >= MOST_LEARNED) this.headers.clear();
        this.headers.set(where, (known = new Map<string, string | null>()));
      }
      for (const name of this.asked) {
        const value = answer.header(name) ?? null;
        // An error may come from somebody in between, who knows nothing of limits, and a refusal from another limit.
        const isError = answer.status >= 500 || (answer.status >= 400 && known.has(name));
        if (value === null && (isError || answer.refusedForMs !== undefined)) continue;
        if (known.get(name) === value) continue;
        isNews = true;
        known.set(name, value);
        this.untold.push({ upstream: this.upstream.name, kind: where, header: name, value });
      }
    }
    if (isNews) this.wakeProbes();
  }

  /** Another node, or an earlier life of this one, has learned it. The last answer of our own says more. */
  adopt(learned: readonly LearnedHeader[]): void {
    let isNews = false;
    for (const { kind, header, value } of learned) {
      const known = this.headers.get(kind) ?? new Map<string, string | null>();
      if (known.has(header)) continue;
      isNews = true;
      this.headers.set(kind, known.set(header, value));
    }
    if (isNews) this.wakeProbes();
  }

  takeUntold(): LearnedHeader[] {
    return this.untold.splice(0);
  }

  /** Somebody does not know which bucket he spends from. */
  get isAsking(): boolean {
    return this.probes.size > 0;
  }

  /** All who wait look again: their bucket may be known. A request that asks is still the only one of its kind. */
  private wakeProbes(): void {
    for (const [id, probe] of this.probes) {
      const next = probe.known();
      if (next) this.probes.set(id, next);
      else this.probes.delete(id);
    }
  }

  noteSpent({ limit, key, slot }: Place, { cost, refusedFor, told }: Verdict, status: number): void {
    this.host.noted?.({
      ...{ upstream: this.upstream.name, limit: limit.name, status, tokens: cost },
      key: slot === undefined && key !== '' ? shownKey(key) : undefined,
      isRefusal: refusedFor !== undefined,
      remaining: told?.remaining,
    });
  }

  /** Whether an answer may belong to another bucket than the one that was reserved for it. */
  isByHeader(limit: UpstreamLimit): boolean {
    return this.byHeader.has(limit.name);
  }

  requestsOf(by: string): number {
    return Math.min(MOST_REQUESTS, Math.max(1, Math.ceil((this.runs.get(by) ?? 1) - 0.2)));
  }

  noteRequests(by: string, requests: number): void {
    const before = this.runs.get(by) ?? 1;
    if (before === requests) return;
    if (this.runs.size >= MOST_LEARNED) this.runs.clear();
    this.runs.set(by, before + RUN_WEIGHT * (requests - before));
  }

  /** The words of an answer on each limit that it may concern. */
  verdictsOf(answer: Answered): Map<UpstreamLimit, Verdict> {
    const now = this.host.wall();
    const told = new Map<UpstreamLimit, Told | undefined>();
    for (const limit of this.upstream.limits) told.set(limit, toldOf(limit, answer, now));
    const { refusedForMs } = answer;
    const reason = `answered ${answer.status}`;
    const verdicts = new Map<UpstreamLimit, Verdict>();
    for (const [limit, word] of told) {
      const isRefused = refusedForMs !== undefined && refuses(limit, answer, word);
      const refusedFor = isRefused ? refusedForMs / MS : undefined;
      const isMute = word === undefined && answer.status < 400;
      verdicts.set(limit, { cost: costOf(limit, answer), told: word, isMute, refusedFor, reason });
    }
    return verdicts;
  }

  close(): void {
    for (const probe of this.probes.values()) probe.close();
  }
}

const UNKNOWN = Symbol('a key that no answer has told yet');
const ANY_MEMBER = '*';
const NOTHING: RequestLine = { method: 'GET', path: '/' };

function kindOf(by: string, { path }: RequestLine): string {
  return `${by} ${shapeOf(path)}`;
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
