/**
 * One limited upstream on this node: which buckets a use spends from, and what an answer says of each. Keys that are
 * made of an answer's header are learned here, by operation and kind of path. Kept by `spender.ts`; asked by `spend.ts`
 * for every reservation and every answer.
 */
import { shownKey, storedKey } from '../keys';
import type { Spent } from '../../telemetry';
import { shapeOf } from '../../lane';
import { notOfItsRun } from '../../spending';
import type { Answered, LimitedUpstream, RequestLine, UpstreamLimit, Use } from '../spender';
import { Facts } from './facts';
import { Probe } from './probe';
import type { Place, Verdict } from './place';
import type { ShiftPurse } from './purse';
import { RunSizes } from './run-sizes';
import type { SharedBucket } from './shared';
import { verdictOn, type LimitVerdict } from './verdicts';

/** Kinds of requests whose headers and costs are remembered: a config has tens. */
const MOST_LEARNED = 5_000;
/** Limits whose buckets are found fast: an upstream has some. */
const MOST_LIMITS = 50;

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
  /** Whether no other node asks for that just now. */
  mayAsk(kind: string): boolean;
  /** Seconds for which a person closed a whole limit. */
  closedFor(limit: string): number;
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
  readonly runs = new RunSizes();
  /** Buckets and stored keys by limit and the key as it was made, to be found without a name. */
  private readonly found = new Map<UpstreamLimit, Map<string, SharedBucket>>();
  private readonly stored = new Map<UpstreamLimit, Map<string, string>>();
  private isByRequest = false;

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
    const isElsewhere = limit.scope === 'member' && (use.purse === undefined || use.slot === undefined);
    if (isElsewhere && use.id !== undefined && (found === UNKNOWN || found.isOfMember))
      throw notOfItsRun(this.upstream.name, limit.name);
    if (found === UNKNOWN) return this.probeOf(limit, use, request);
    if (!found.isOfMember) return this.sharedOf(limit, found.key);
    const own = (use.purse as ShiftPurse).placeOf(
      this.upstream.name,
      limit,
      this.storedOf(limit, found.key),
      use.slot!,
    );
    return (
      own ??
      this.sharedOf(
        limit,
        found.key.replace(ANY_MEMBER, () => use.id!),
      )
    );
  }

  /** Whether a run's buckets may be others once its request is known. */
  get dependsOnRequest(): boolean {
    return this.isByRequest || this.byHeader.size > 0;
  }

  /** The node has forgotten buckets that nobody used: one look for all of them, for they may be thousands. */
  forget(buckets: ReadonlySet<SharedBucket>): void {
    for (const byKey of this.found.values()) for (const [key, one] of byKey) if (buckets.has(one)) byKey.delete(key);
  }

  private sharedOf(limit: UpstreamLimit, key: string): SharedBucket {
    const byKey = mapOf(this.found, limit);
    let bucket = byKey.get(key);
    if (!bucket) {
      bucket = this.host.shared(limit, this.storedOf(limit, key));
      if (byKey.size >= MOST_LEARNED) byKey.clear();
      byKey.set(key, bucket);
    }
    return bucket;
  }

  private storedOf(limit: UpstreamLimit, key: string): string {
    if (key === ANY_MEMBER && !limit.secret) return key;
    const byKey = mapOf(this.stored, limit);
    let stored = byKey.get(key);
    if (stored === undefined) {
      stored = storedKey(`${this.upstream.name}/${limit.name}`, key, limit.secret);
      if (byKey.size >= MOST_LEARNED) byKey.clear();
      byKey.set(key, stored);
    }
    return stored;
  }

  private keyOf(
    limit: UpstreamLimit,
    use: Use,
    request: RequestLine | undefined,
  ): { key: string; isOfMember: boolean } | typeof UNKNOWN | undefined {
    const key = this.keyFor(limit, use, use.id, request);
    if (key === undefined || key === UNKNOWN) return key;
    if (limit.scope !== 'member' || use.id === undefined) return { key, isOfMember: false };
    if (key === use.id) return OF_MEMBER;
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
    const facts = new Facts(id, this.host.address, this, use, request);
    let key: string | undefined;
    try {
      key = limit.key(facts);
    } catch (thrown) {
      // It counted on a header that is not there: that is all that has to be known of it.
      if (!facts.isUnknown && !facts.isAbsent) throw thrown;
    } finally {
      if (facts.asksHeaders) this.byHeader.add(limit.name);
    }
    if (facts.isUnknown) return UNKNOWN;
    return facts.isAbsent || key === undefined ? undefined : String(key);
  }

  /** A key asks for the request, so that may name another bucket. */
  lastRequest({ by }: Use, request: RequestLine | undefined): RequestLine {
    this.isByRequest = true;
    return request ?? this.requests.get(by) ?? NOTHING;
  }

  /** A key asks for a header: null: answers have none; undefined: no answer is known. */
  headerFor(name: string, { by }: Use, request: RequestLine | undefined): string | null | undefined {
    this.asked.add(name);
    const kind = request && this.headers.get(kindOf(by, request))?.get(name);
    return kind === undefined ? this.headers.get(by)?.get(name) : kind;
  }

  /** Once the answer is here. A key function that throws then leaves it where it was taken. */
  placeOfAnswer(limit: UpstreamLimit, use: Use, request: RequestLine, taken: Place | undefined): Place | undefined {
    try {
      return this.placeOf(limit, use, request);
    } catch {
      return taken;
    }
  }

  private probeOf(limit: UpstreamLimit, { by }: Use, request: RequestLine | undefined): Probe {
    const id = `${limit.name} ${request === undefined || !this.headers.has(by) ? by : kindOf(by, request)}`;
    let probe = this.probes.get(id);
    if (!probe) {
      probe = new Probe(limit, this.upstream.shares, {
        now: () => this.host.monotonic(),
        closedFor: () => this.host.closedFor(limit.name),
        mayAsk: () => this.host.mayAsk(id),
      });
      this.probes.set(id, probe);
    }
    return probe;
  }

  /** The headers that keys are made of, as an answer has them. */
  learn({ by }: Use, answer: Answered): void {
    if (!this.dependsOnRequest) return;
    if (this.requests.size >= MOST_LEARNED) this.requests.clear();
    this.requests.set(by, answer.request);
    if (this.asked.size === 0) return;
    let isNews = false;
    for (const where of [by, kindOf(by, answer.request)]) {
      let known = this.headers.get(where);
      if (!known) {
        if (this.headers.size >= MOST_LEARNED) this.forgetKinds();
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

  /**
   * The oldest kinds of path, some at once: there may be one for each name in a path. The code as such stays
   * known, for else all of it would ask anew.
   */
  private forgetKinds(): void {
    let most = MOST_LEARNED / 10;
    for (const where of this.headers.keys()) if (isKind(where) && most-- > 0) this.headers.delete(where);
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

  /** The database could not be told: the next look tells. */
  putBack(untold: readonly LearnedHeader[]): void {
    this.untold = [...untold, ...this.untold].slice(-MOST_LEARNED);
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
      upstream: this.upstream.name,
      limit: limit.name,
      status,
      tokens: cost,
      key: slot === undefined && key !== '' ? shownKey(key) : undefined,
      isRefusal: refusedFor !== undefined,
      remaining: told?.remaining,
    });
  }

  /** Whether an answer may belong to another bucket than the one that was reserved for it. */
  isByHeader(limit: UpstreamLimit): boolean {
    return this.byHeader.has(limit.name);
  }

  /** A person opened the limit: what was refused while it asked for a key may be asked again. */
  openProbes(limit: string): void {
    for (const probe of this.probes.values()) if (probe.limit.name === limit) probe.open();
  }

  /** All who wait for a key look again; what nobody wants to know any more is forgotten. */
  stirProbes(): void {
    for (const [id, probe] of this.probes) {
      if (probe.isIdle) this.probes.delete(id);
      else probe.stir();
    }
  }

  /** The words of an answer on each limit that it may concern. */
  verdictsOf(answer: Answered): LimitVerdict[] {
    const now = this.host.wall();
    return this.upstream.limits.map((limit) => verdictOn(limit, answer, now));
  }

  close(): void {
    for (const probe of this.probes.values()) probe.close();
  }
}

function mapOf<V>(maps: Map<UpstreamLimit, Map<string, V>>, limit: UpstreamLimit): Map<string, V> {
  let map = maps.get(limit);
  if (!map) {
    // Limits of before a change.
    if (maps.size >= MOST_LIMITS) maps.clear();
    maps.set(limit, (map = new Map<string, V>()));
  }
  return map;
}

const UNKNOWN = Symbol('a key that no answer has told yet');
const ANY_MEMBER = '*';
const OF_MEMBER = { key: ANY_MEMBER, isOfMember: true };
const NOTHING: RequestLine = { method: 'GET', path: '/' };

const isKind = (where: string): boolean => where.includes(' /');

function kindOf(by: string, { path }: RequestLine): string {
  return `${by} ${shapeOf(path)}`;
}
