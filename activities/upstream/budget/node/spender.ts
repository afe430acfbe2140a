/**
 * The spender of a node: its shared buckets, the purses of its shifts, and what is known of each upstream. It decides
 * in memory, and waits for nothing; `renewal.ts` and `closings.ts` carry what it spent and wants to the ledger. Made by
 * `index.ts` of this folder, once a worker.
 */
import type { BucketState, Spent } from '../../telemetry';
import type { Clocks } from '../account';
import type { BucketName } from '../../store/bucket-row';
import { unlisted } from '../../spending';
import type { LimitName } from '../../store/limit-closings';
import type { LimitedUpstream, Purse, Reservation, Shortage, Spender, UpstreamLimit, Use } from '../spender';
import { Book } from './book';
import type { GroupLimit } from './group';
import { ShiftPurse } from './purse';
import { RaisedCost } from './raised';
import { LimitClosings } from './limit-closings';
import { SharedBucket, type Ledger } from './shared';
import { RunReservation } from './spend';

/**
 * A bucket that nobody has used for so long is forgotten by the node, seconds; the ledger keeps its row. Many of them
 * (a key that is made anew for each request) are forgotten sooner.
 */
const FORGET = 900;
const MANY = 10_000;
const FORGET_OF_MANY = 60;
/** Groups whose limits are remembered: an upstream that invents names costs no more than this. */
const MOST_GROUPS = 10_000;

export interface SpenderOptions {
  clocks: Clocks;
  /** Epoch seconds of the database, as the node reads it: it never jumps. */
  now(): number;
  /** Seconds by which the database's clock is ahead of that by now. @default 0: it was not set */
  ahead?: (() => number) | undefined;
  /** A name of this process that no other has, nor an earlier life of it. */
  process: string;
  address: string;
  /** Told of each answer, for metrics. */
  noted?: ((spent: Spent) => void) | undefined;
}

export class NodeSpender implements Spender {
  private readonly books = new Map<string, Book>();
  /** By upstream, limit and key. */
  private readonly buckets = new Map<string, SharedBucket>();
  private readonly groups = new Map<string, GroupLimit>();
  private readonly purses = new Set<ShiftPurse>();
  private readonly monotonic = (): number => this.options.clocks.monotonic();
  private readonly closings: LimitClosings;

  constructor(
    private readonly options: SpenderOptions,
    private readonly ledger: Ledger,
  ) {
    this.closings = new LimitClosings(() => options.clocks.monotonic());
  }

  /** Makes it known, or changes its limits while it runs. */
  define(upstream: LimitedUpstream): void {
    const known = this.books.get(upstream.name);
    if (known) known.upstream = upstream;
    else this.books.set(upstream.name, new Book(upstream, this.hostOf(upstream)));
    for (const bucket of this.buckets.values()) {
      if (bucket.name.upstream !== upstream.name) continue;
      const limit = upstream.limits.find(({ name }) => name === bucket.name.limit);
      if (limit) bucket.adopt(limit);
    }
    for (const purse of this.purses) purse.change(upstream);
  }

  knows(upstream: string): boolean {
    return this.books.has(upstream);
  }

  reserve(upstream: string, use: Use, requests?: number): Reservation | Shortage {
    const book = this.books.get(upstream);
    if (!book) throw unlisted(upstream);
    return RunReservation.take(book, use, requests, this.monotonic);
  }

  purse(slots: number): Purse {
    const { options } = this;
    const host = {
      now: () => options.now(),
      ahead: () => options.ahead?.() ?? 0,
      monotonic: () => options.clocks.monotonic(),
      wall: () => options.clocks.wall(),
      groupOf: (...name: string[]) => this.groupOf(name.join('/')),
      limitClosedFor: (upstream: string, limit: string) => this.closings.closedFor(upstream, limit),
    };
    const purse: ShiftPurse = new ShiftPurse(slots, host, () => this.purses.delete(purse));
    this.purses.add(purse);
    return purse;
  }

  release(purse: Purse): void {
    purse.end();
  }

  /** Everything that is known of upstreams. */
  get known(): Iterable<Book> {
    return this.books.values();
  }

  /** Every shared bucket that the node knows of. */
  get shared(): Iterable<SharedBucket> {
    return this.buckets.values();
  }

  /** Every shared bucket as it stands here, for metrics. */
  *states(): Iterable<BucketState> {
    for (const bucket of this.buckets.values()) {
      const { upstream, limit } = bucket.name;
      yield { upstream, limit, has: bucket.account.shown.has, wants: bucket.waiting, isClosed: bucket.isClosed };
    }
  }

  find({ upstream, limit, key }: BucketName): SharedBucket | undefined {
    return this.buckets.get(idOf(upstream, limit, key));
  }

  /** Somebody closed a limit for all of its keys, or opened it. Shared buckets follow by their rows. */
  hearLimit(limit: LimitName, closedFor: number, serial: number): void {
    if (!this.closings.hear(limit, closedFor, serial)) return;
    const book = this.books.get(limit.upstream);
    // Refusals that closed a member's bucket, or the asking for a key, are lifted with it.
    const isOpen = closedFor <= 0;
    if (isOpen) book?.openProbes(limit.limit);
    book?.stirProbes();
    for (const purse of this.purses) purse.hearLimit(limit, isOpen);
  }

  /** Called every second: notes that the process is alive, and forgets what nobody uses. */
  beat(): void {
    for (const purse of this.purses) {
      purse.beat();
      purse.followCosts();
    }
    const now = this.options.clocks.monotonic();
    const kept = this.buckets.size > MANY ? FORGET_OF_MANY : FORGET;
    const forgotten = new Set<SharedBucket>();
    for (const [id, bucket] of this.buckets) {
      if (now - bucket.usedAt < kept || bucket.isOfInterest || bucket.isClosed) continue;
      bucket.close();
      this.buckets.delete(id);
      forgotten.add(bucket);
    }
    if (forgotten.size > 0) for (const book of this.books.values()) book.forget(forgotten);
  }

  close(): void {
    for (const bucket of this.buckets.values()) bucket.close();
    for (const book of this.books.values()) book.close();
    for (const purse of this.purses) purse.close();
  }

  private hostOf({ name: upstream }: LimitedUpstream): ConstructorParameters<typeof Book>[1] {
    const { clocks, address, noted } = this.options;
    return {
      address,
      ...(noted && { noted }),
      wall: () => clocks.wall(),
      monotonic: () => clocks.monotonic(),
      mayAsk: (kind) => this.ledger.mayAsk?.({ upstream, kind }) ?? true,
      closedFor: (limit) => this.closings.closedFor(upstream, limit),
      shared: (limit, key) => this.sharedOf(upstream, limit, key),
    };
  }

  private sharedOf(upstream: string, limit: UpstreamLimit, key: string): SharedBucket {
    const id = idOf(upstream, limit.name, key);
    let bucket = this.buckets.get(id);
    if (!bucket) {
      const { clocks, process } = this.options;
      const { shares } = this.books.get(upstream)!.upstream;
      bucket = new SharedBucket({ upstream, limit: limit.name, key }, limit, clocks, process, this.ledger, shares);
      this.buckets.set(id, bucket);
    }
    return bucket;
  }

  private groupOf(id: string): GroupLimit {
    let group = this.groups.get(id);
    if (group) return group;
    if (this.groups.size >= MOST_GROUPS) this.groups.clear();
    group = {
      tokens: undefined,
      window: undefined,
      mute: 0,
      muteAt: -Infinity,
      lowAt: -Infinity,
      version: 0,
      raised: new RaisedCost(),
      greatest: 0,
    };
    this.groups.set(id, group);
    return group;
  }
}

function idOf(upstream: string, limit: string, key: string): string {
  return `${upstream}/${limit}/${key}`;
}
