/**
 * Commits a node's turns: as soon as one has ended and its connection for writing is free, all that have ended go by
 * one call of the store (`store/lives.ts`), and its verdicts go back to their pools. Called by `node-turns.ts`;
 * afterwards `aftermath.ts` tells whoever waits. `member/writer.ts` decides what is in a commit.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { reach } from '../../lib/points';
import { classOf, isPassing } from '../../lib/sqlstate';
import type { Commit, Verdict } from '../member/commit';
import type { MemberLimits } from '../member/constants';
import { TurnWriter, type PoolSettled } from '../member/writer';
import type { Pushed } from '../member/types';
import type { PoolOwner } from '../store/fence';
import { commitTurns } from '../store/lives';
import type { TurnsHost } from './host';
import type { Lane } from './lane';

/** A commit that writes rows of users may take this long; one that does not is a single statement. */
const LIMITS = { statementTimeoutMs: 4_000 };

/** So often in a row a commit may be cut off before it is taken apart. */
const CANCELLED = 3;

/** Writes the entries that handlers push to buffers, in the same transaction. */
export interface Pushes {
  store(db: Queryable, entries: readonly Pushed[]): Promise<void>;
  committed(): void;
  rolledBack(): void;
}

export interface CommitHost extends TurnsHost {
  readonly pushes: Pushes | undefined;
  /** Never throws: the other pools of the commit are to hear of it as well. */
  settled(settled: PoolSettled): void;
  committed(turns: number, ms: number): void;
}

export class Committer {
  readonly writer: TurnWriter;
  private committing: Promise<void> | undefined;
  private cancelled = 0;

  constructor(
    private readonly database: Database,
    private readonly lane: Lane,
    private readonly host: CommitHost,
    private readonly limits: MemberLimits,
  ) {
    this.writer = new TurnWriter(limits);
  }

  /** Commits what has ended, if anything has and no commit is under way. */
  go(): void {
    if (this.committing || !this.writer.hasTurns(this.host.now())) return;
    this.committing = this.lane
      .run('turns', () => this.commit())
      .finally(() => {
        this.committing = undefined;
        this.host.go();
      });
  }

  /** When something can be committed that cannot be now: somebody has its pool locked. By the database's clock. */
  get dueAt(): number {
    return this.committing ? Infinity : this.writer.dueAt;
  }

  /** The commit that is under way has ended. */
  async idle(): Promise<void> {
    await this.committing;
  }

  private async commit(): Promise<void> {
    const { writer, host } = this;
    const commit = writer.next(host.now());
    if (!commit) return;
    const began = performance.now();
    let settled: PoolSettled[];
    try {
      const verdicts = await this.carryOut(commit);
      await reach('turns.committed');
      host.pushes?.committed();
      settled = writer.answered(verdicts, host.now());
      this.cancelled = 0;
    } catch (thrown) {
      host.pushes?.rolledBack();
      this.failed(errorOf(thrown));
      return;
    }
    host.committed(
      settled.reduce((sum, { turns }) => sum + turns.length, 0),
      performance.now() - began,
    );
    for (const one of settled) host.settled(one);
  }

  /** One statement, where nothing else has to run in its transaction. */
  private async carryOut(commit: Commit): Promise<Verdict[]> {
    // First of all: while something is awaited a shift may end, and its pool leaves.
    const owners = this.ownersOf(commit);
    await this.host.meet(trackersOf(commit));
    const options = {
      owners,
      push: async (db: Queryable, entries: readonly Pushed[]) => this.host.pushes?.store(db, entries),
      limits: this.limits,
      placingOf: this.host.placingOf,
    };
    const isPlain = commit.pools.every(({ members }) =>
      members.every(({ writes, pushes }) => writes.length + pushes.length === 0),
    );
    if (isPlain) return commitTurns(this.database.single, commit, options);
    return this.database.transaction((db) => commitTurns(db, commit, options), LIMITS);
  }

  private ownersOf({ pools }: Commit): PoolOwner[] {
    const of = new Map(
      [...this.host.pools].map((pool) => [keyOf(pool.tracker, pool.members.pool, pool.shift.token), pool]),
    );
    return pools.map(({ tracker, pool, token }) => of.get(keyOf(tracker, pool, token))!.owner);
  }

  private failed(error: Error): void {
    const { writer, host } = this;
    const now = host.now();
    const kind = classOf(error);
    if (kind === 'outage') {
      // It may have been carried out: what is stored says so.
      host.log.debug({ err: error }, 'a commit of turns has no answer; its members are read again');
      for (const pool of host.pools) pool.waitsForStore();
      writer.lost();
      return;
    }
    if (kind === 'cancelled') this.cancelled++;
    // One that takes too long again and again is somebody's doing: each of its members has a commit of its own.
    if (isPassing(error) && this.cancelled < CANCELLED) {
      host.log.debug({ err: error }, 'a commit of turns was not made; it is tried again');
      writer.notMade(now);
      return;
    }
    this.cancelled = 0;
    const turn = writer.refused(error, now);
    if (!turn) {
      host.log.warn({ err: error }, 'a commit of turns was refused; each of its members is committed alone');
      return;
    }
    host.log.warn({ err: error }, 'what a turn came to cannot be stored; its message has failed');
  }
}

/** The trackers to whose members it sends. */
export const trackersOf = ({ pools }: Commit): Set<string> =>
  new Set(pools.flatMap(({ members }) => members.flatMap(({ sent }) => sent.map(({ to }) => to.tracker))));

const keyOf = (tracker: string, pool: number, token: number): string => `${tracker}/${pool}/${token}`;
