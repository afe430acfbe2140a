/**
 * The budgets of upstreams as people see and steer them: what each bucket (a limit for one key) has left, which nodes
 * spend from it, what is closed and why. Made by `Longwatch.budget`; shown by `cli/verbs/budget.ts`. Buckets of single
 * members are kept by their shifts: `member-buckets.ts` reads them.
 *
 * The numbers are those of the ledger's rows, a second old at most, reckoned on to now by the ledger's own code.
 */
import { closeByHand, closeFollowing, closeWhole, openByHand, openWhole } from '../activities/upstream/budget/by-hand';
import { shownKey } from '../activities/upstream/budget/keys';
import { outstanding, ownUsed } from '../activities/upstream/budget/ledger/own';
import { advance } from '../activities/upstream/budget/ledger/statement';
import { limitOf, type Shape } from '../activities/upstream/budget/limit';
import { remainingOf } from '../activities/upstream/budget/remaining';
import { bucketOf, type BucketName } from '../activities/upstream/store/bucket-row';
import { countBuckets, listBuckets, lockBuckets, type LockedRow } from '../activities/upstream/store/budget';
import { closedLimits, type LimitName } from '../activities/upstream/store/limit-closings';
import type { MemberBucketCount } from '../activities/upstream/store/purse';
import { readUpstreams } from '../activities/upstream/store/upstreams';
import type { Queryable } from '../activities/lib/database';
import { storable, unstorable } from '../workflows/lib/text';
import { announced, recorded, type CommandOptions } from './audit';
import type { Connections } from './connections';
import { InvalidBucketError, RefusedError, UnknownBucketError } from './errors';
import { bucketsOfMember, memberBucketCounts, type MemberBucket } from './member-buckets';

export interface BucketSummary {
  /** `esi/group:90000001`, as `close` and `open` take it. */
  bucket: string;
  upstream: string;
  limit: string;
  /** A key that is a secret is a hash. */
  key: string;
  shape: Shape;
  /** The tokens of one window; null: nobody knows yet, and one request of all nodes at a time finds out. */
  tokens: number | null;
  windowMs: number | null;
  /** Tokens that nobody has spent or holds; null: not known. */
  remaining: number | null;
  /** Spent by us and not back yet. */
  spent: number;
  /** In the hands of nodes, and not told as spent. */
  held: number;
  /** Tokens a second that others spend from the same bucket, as far as headers tell. */
  othersPerSecond: number;
  nodes: BucketPart[];
  closedUntil: string | null;
  closedMs: number;
  closedReason: string | null;
  /** When a node spent from it, or renewed its part, last. */
  at: string;
}

/** The part of one node. */
export interface BucketPart {
  node: string;
  /** Tokens a second that it could spend; places, where the limit is on requests at once. */
  wants: number;
  /** Tokens that it may spend and has not told as spent. */
  has: number;
}

export interface BudgetFilter {
  upstream?: string;
  limit?: string;
  key?: string;
  /** Only buckets after this one, in the order of their names. */
  after?: string;
  /** @default 100 */
  most?: number;
}

/** A limit that somebody closed for all of its keys, those that come later too. */
export interface ClosedLimit {
  /** `esi/errors`, as `close` and `open` take it. */
  bucket: string;
  upstream: string;
  limit: string;
  closedUntil: string;
  closedMs: number;
  closedReason: string | null;
}

/** Bytes of the reason that lists show; the audit has more of it. */
const LONGEST_REASON = 500;
/** By hand it is closed for no longer. */
const LONGEST_CLOSING_MS = 366 * 86_400_000;

/** A command on all keys of a limit takes so many at a time, as a node does that renews them. */
const PAGE = 200;

export class BudgetHandle {
  constructor(private readonly connections: Connections) {}

  async list({ after, most, ...which }: BudgetFilter = {}): Promise<BucketSummary[]> {
    const from = after === undefined ? undefined : wholeName(after);
    const rows = await this.connections.readTransaction((db) => listBuckets(db, which, { after: from, most }));
    return rows.map(summaryOf);
  }

  /** @throws UnknownBucketError where nobody has spent from it lately */
  async show(bucket: string): Promise<BucketSummary> {
    const [found] = await this.list(wholeName(bucket));
    if (!found) throw await this.unknown(bucket);
    return found;
  }

  /** Limits that are closed for all of their keys. A bucket that was opened by itself since is open all the same. */
  async closedLimits(upstream?: string): Promise<ClosedLimit[]> {
    const found = await this.connections.readTransaction((db) => closedLimits(db, { upstream }));
    return found.map(({ upstream: of, limit, closedFor, closedUntil, reason }) => ({
      bucket: `${of}/${limit}`,
      upstream: of,
      limit,
      closedUntil: closedUntil.toISOString(),
      closedMs: closedFor * 1_000,
      closedReason: reason,
    }));
  }

  /** The buckets of a member, of whatever tracker it is, that only the shift that keeps it spends from. */
  ofMember(member: string, upstream?: string): Promise<MemberBucket[]> {
    return bucketsOfMember(this.connections, member, upstream);
  }

  /** How many members have buckets of their own, by limit; a million at most is counted. */
  memberCounts(upstream?: string): Promise<MemberBucketCount[]> {
    return memberBucketCounts(this.connections, upstream);
  }

  /**
   * No node sends for these buckets for so long, whatever the upstream says meanwhile; told to all at once.
   * @param bucket `esi/group:90000001`, or `esi/errors` for all keys of a limit, also those that come later and those
   *   of single members
   * @param forMs a year at most
   * @returns the buckets that it was done to, as far as they have a row by now
   * @throws RefusedError for a time that cannot be; InvalidBucketError; UnknownBucketError
   */
  async close(bucket: string, forMs: number, { why }: CommandOptions = {}): Promise<BucketSummary[]> {
    // It stands in the row of each bucket.
    const reason = storable(why ?? 'closed by hand', LONGEST_REASON);
    const seconds = secondsOf(forMs);
    const command = { what: 'budget close', bucket, why };
    const { key, ...limit } = nameOf(bucket);
    if (key !== undefined) return this.changeOne(command, (db, names) => closeByHand(db, names, seconds, reason));
    return this.changeWhole(command, limit, async () => {
      await this.connections.transaction((db) => closeWhole(db, limit, seconds, reason));
      return this.eachPage(limit, closeFollowing);
    });
  }

  /**
   * They may be spent from again: what upstreams answered to requests of before closes them no more.
   * @param bucket `esi/group:90000001`, or `esi/errors` for all keys of a limit
   */
  async open(bucket: string, { why }: CommandOptions = {}): Promise<BucketSummary[]> {
    const command = { what: 'budget open', bucket, why };
    const { key, ...limit } = nameOf(bucket);
    if (key !== undefined) return this.changeOne(command, openByHand);
    return this.changeWhole(command, limit, async () => {
      const opened = await this.eachPage(limit, openByHand);
      await this.connections.transaction((db) => openWhole(db, limit));
      return opened;
    });
  }

  private changeOne({ what, bucket, why }: BucketCommand, how: Change): Promise<BucketSummary[]> {
    const name = wholeName(bucket);
    return recorded(this.connections, { what, subject: `upstream/${name.upstream}`, why }, async (db) => {
      const found = await listBuckets(db, name, { most: 1 });
      if (found.length === 0) throw await this.unknown(bucket);
      await how(db, found);
      const changed = (await lockBuckets(db, found)).map(summaryOf);
      return {
        result: changed,
        before: { bucket, buckets: found.length, closed: closedOf(found.map(summaryOf)) },
        after: { bucket, buckets: changed.length, closed: closedOf(changed) },
      };
    });
  }

  /** In portions, for a limit may have very many keys, and nodes wait for each row that is locked. */
  private async changeWhole(
    { what, bucket, why }: BucketCommand,
    limit: LimitName,
    how: () => Promise<BucketSummary[]>,
  ): Promise<BucketSummary[]> {
    const before = await this.connections.transaction(async (db) =>
      (await isDeclared(db, limit)) ? countBuckets(db, limit) : undefined,
    );
    if (!before) throw await this.unknown(bucket);
    const command = { what, subject: `upstream/${limit.upstream}`, before: { bucket, ...before }, why };
    return announced(this.connections, command, async () => {
      const changed = await how();
      return { result: changed, after: { bucket, buckets: changed.length, closed: closedOf(changed) } };
    });
  }

  private async eachPage(limit: LimitName, how: Change): Promise<BucketSummary[]> {
    const changed: BucketSummary[] = [];
    for (let after: BucketName | undefined, isLast = false; !isLast;) {
      const { names, rows } = await this.connections.transaction(async (db) => {
        const names = await listBuckets(db, limit, { after, most: PAGE });
        await how(db, names);
        return { names, rows: await lockBuckets(db, names) };
      });
      changed.push(...rows.map(summaryOf));
      // A row that was forgotten in between is among the names alone.
      after = names.at(-1);
      isLast = names.length < PAGE;
    }
    return changed;
  }

  private async unknown(bucket: string): Promise<UnknownBucketError> {
    const { upstream } = nameOf(bucket);
    const some = await this.list({ upstream, most: 5 });
    return new UnknownBucketError(
      bucket,
      some.map((one) => one.bucket),
    );
  }
}

interface BucketCommand {
  what: string;
  bucket: string;
  why: string | undefined;
}

type Change = (db: Queryable, names: readonly BucketName[]) => Promise<unknown>;

/** @throws RefusedError where PostgreSQL, or a date, has no such time */
function secondsOf(forMs: number): number {
  if (forMs > 0 && forMs <= LONGEST_CLOSING_MS) return forMs / 1_000;
  throw new RefusedError(`a bucket is closed for more than 0 ms and for a year (366d) at most, not for ${forMs} ms`);
}

/** A worker's config has had that limit, somebody has spent from it, or it is closed. */
async function isDeclared(db: Queryable, { upstream, limit }: LimitName): Promise<boolean> {
  const declared = (await readUpstreams(db)).find(({ name }) => name === upstream);
  if (declared && Object.hasOwn(declared.options.limits, limit)) return true;
  if ((await listBuckets(db, { upstream, limit }, { most: 1 })).length > 0) return true;
  return (await closedLimits(db, { upstream, limit })).length > 0;
}

const closedOf = (buckets: readonly BucketSummary[]): number => buckets.filter(({ closedMs }) => closedMs > 0).length;

/** `esi/group:90000001`, or `esi/errors` for all keys. A key may have any characters. */
function nameOf(bucket: string): Omit<BucketName, 'key'> & { key?: string } {
  const [, upstream, limit, key] = /^([^/]+)\/([^:]+)(?::(.+))?$/s.exec(bucket) ?? [];
  if (upstream === undefined || limit === undefined || unstorable(bucket)) throw new InvalidBucketError(bucket);
  return { upstream, limit, key };
}

function wholeName(bucket: string): BucketName {
  const { upstream, limit, key } = nameOf(bucket);
  if (key === undefined) throw new InvalidBucketError(bucket);
  return { upstream, limit, key };
}

function summaryOf(row: LockedRow): BucketSummary {
  const { upstream, limit, key, shape, closedReason, now } = row;
  const bucket = bucketOf(row);
  // As far as the row has it: what headers told is in the bucket itself.
  const rule = limitOf({ shape: shape as Shape, tokens: row.tokens ?? undefined, window: row.window ?? undefined });
  advance(bucket, rule, { now, timeline: bucket.timeline });
  const { tokens, remaining } = remainingOf(row);
  const closedMs = Math.max(0, ((row.closedUntil ?? 0) - now) * 1_000);
  const isClosed = closedMs > 0;
  return {
    bucket: `${upstream}/${limit}:${key}`,
    upstream,
    limit,
    key: shownKey(key),
    shape: rule.shape,
    tokens,
    windowMs: row.window === null ? null : row.window * 1_000,
    remaining,
    spent: ownUsed(bucket, rule),
    held: outstanding(bucket),
    othersPerSecond: bucket.othersRate,
    nodes: bucket.parts
      .filter((part) => part.ended === undefined && part.until > bucket.at)
      .map(({ node, wants, granted, settled }) => ({ node: nodeName(node), wants, has: granted - settled })),
    closedUntil: isClosed ? new Date(row.closedUntil! * 1_000).toISOString() : null,
    closedMs,
    closedReason: isClosed ? closedReason : null,
    at: new Date((row.at - bucket.offset) * 1_000).toISOString(),
  };
}

/** A part is of one process of a node: its name has a word behind it that no other process has. */
const nodeName = (part: string): string => part.replace(/:[0-9a-f-]{36}$/, '');
