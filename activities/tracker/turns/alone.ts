/**
 * A turn in a transaction of its own, from its beginning to its commit (`receive: { transaction: true }`): the pool's
 * fence and the member's row are locked, then its code runs and may read and write there, then the turn is committed
 * with it. Called by `turner.ts` in place of `run.ts` alone. It runs on connections of its own, since each holds one as
 * long as its code takes.
 *
 * If the code throws, or leaves a transaction that the database refuses to commit, that is rolled back and the failure
 * is committed as that of any other turn. If anything of passing nature keeps it from being committed, the member is
 * read again and the message is handled again.
 */
import { errorOf } from '../../lib/failures';
import { isPassing } from '../../lib/sqlstate';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';
import type { Handed, Verdict } from '../member/commit';
import { Room } from '../member/commit';
import type { EndedTurn } from '../member/ended';
import type { MemberLimits } from '../member/constants';
import type { PoolSettled } from '../member/writer';
import type { Turn } from '../member/turn';
import { commitTurns } from '../store/lives';
import { trackersOf, type CommitHost, type Pushes } from './committer';
import type { PoolTurns } from './pool';
import { runCode, ShiftOver } from './run';

/** The fence first, as in every other transaction. No row: another one has the pool, or its roster has changed. */
const LOCK: Statement = {
  name: 'turn-alone-lock',
  text: `select l.version::float8 as version
         from (select 1 from longwatch.pool p
               where p.tracker = $1 and p.pool = $2 and p.token = $3 and p.run_id = $4 and p.shift = $5 and p.attempt = $6
               for share of p) f
         left join lateral (select l.version from longwatch.life l where l.tracker = $1 and l.id = $7 for update of l) l on true`,
};

/** The code threw: what it wrote is rolled back. */
class CodeFailed extends Error {
  constructor(readonly thrown: Error) {
    super(thrown.message);
  }
}

/** Its code has ended well, and what it left cannot be stored. */
class TurnFailed extends Error {
  constructor(readonly ended: EndedTurn) {
    super(ended.error);
  }
}

/** It was not committed, for no fault of the code. */
class NotCommitted extends Error {}

export class AloneTurns {
  /** Each transaction has one of its own: they may be rolled back in any order. */
  private readonly feeds: Pushes[] = [];

  constructor(
    private readonly database: Database,
    private readonly host: CommitHost,
    private readonly limits: MemberLimits,
    private readonly newPushes: () => Pushes | undefined,
  ) {}

  /** Never rejects. */
  async run(pool: PoolTurns, turn: Turn): Promise<void> {
    const { host } = this;
    const pushes = this.feeds.pop() ?? this.newPushes();
    let handed: Handed | undefined;
    let verdict: Verdict;
    try {
      verdict = await this.database.transaction(
        async (db) => {
          handed = await this.handle(db, pool, turn);
          return this.commit(db, pool, handed, pushes);
        },
        // The code's own time-out is the limit.
        { statementTimeoutMs: pool.options.timeoutMs, idleTimeoutMs: 0 },
      );
      pushes?.committed();
    } catch (thrown) {
      pushes?.rolledBack();
      this.failed(pool, turn, errorOf(thrown), handed);
      return;
    } finally {
      if (pushes) this.feeds.push(pushes);
    }
    const settled = pool.members.settle(handed!, verdict, host.now());
    host.settled({ ...settled, pool } satisfies PoolSettled);
  }

  private async handle(db: Queryable, pool: PoolTurns, turn: Turn): Promise<Handed> {
    const { id } = turn.member;
    const { claim, token } = pool.shift;
    const [row] = await run<{ version: number | null }>(db, LOCK, [
      ...[claim.tracker, claim.pool, token, claim.runId, claim.shift, claim.attempt],
      id,
    ]);
    const version = pool.members.member(id)?.version;
    if (!row || (row.version ?? 0) !== version) throw new NotCommitted();
    try {
      await runCode(this.host, pool, turn, db);
    } catch (thrown) {
      // Code that goes on all the same would write behind the rollback, outside of any transaction.
      turn.close();
      throw new CodeFailed(errorOf(thrown));
    }
    const ended = pool.members.ended(turn, this.host.now());
    // It was taken from the handler meanwhile.
    if (!ended) throw new NotCommitted();
    // A state that JSON cannot say: its failure is committed as any other.
    if (ended.outcome !== 'handled') throw new TurnFailed(ended);
    const handed = pool.members.hand(pool.fence(), new Room({ ...this.limits, commitTurns: 1 }), id);
    if (!handed) throw new NotCommitted();
    return handed;
  }

  private async commit(db: Queryable, pool: PoolTurns, { part }: Handed, pushes: Pushes | undefined): Promise<Verdict> {
    const { host } = this;
    await host.meet(trackersOf({ pools: [part] }));
    const [verdict] = await commitTurns(
      db,
      { pools: [part] },
      {
        owners: [pool.owner],
        push: async (on, entries) => pushes?.store(on, entries),
        limits: this.limits,
        placingOf: host.placingOf,
      },
    );
    // Rolled back, with all that the code wrote.
    if (verdict!.verdict !== 'done' || verdict!.refused.length > 0) throw new Refusal(verdict!);
    return verdict!;
  }

  private failed(pool: PoolTurns, turn: Turn, error: Error, handed: Handed | undefined): void {
    const { host } = this;
    if (error instanceof TurnFailed) return host.ended(pool, turn.member.id, error.ended);
    if (error instanceof CodeFailed) {
      if (error.thrown instanceof ShiftOver) return pool.members.member(turn.member.id)?.giveBack(turn);
      const ended = pool.members.failed(turn, error.thrown, host.now());
      if (ended) host.ended(pool, turn.member.id, ended);
      return;
    }
    if (handed && error instanceof Refusal && error.verdict.verdict === 'done') {
      // Its own doing: a statement of `ctx.write`, or whom it sends to.
      host.settled({ ...pool.members.settle(handed, error.verdict, host.now()), pool });
      return;
    }
    if (!(error instanceof NotCommitted || error instanceof Refusal) && !isPassing(error)) {
      // A statement that failed unseen, a constraint that is looked at in the end: the same again would fail again.
      return this.refused(pool, turn, error, handed);
    }
    if (!(error instanceof NotCommitted))
      pool.shift.log.debug({ err: error }, 'a turn was not committed; it runs again');
    if (handed) pool.members.lost(handed);
    else pool.members.readAgain(turn.member.id, host.now());
    if (error instanceof Refusal)
      host.settled({ turns: [], failed: [], void: [], verdict: error.verdict.verdict, pool });
    host.look(pool);
  }

  private refused(pool: PoolTurns, turn: Turn, error: Error, handed: Handed | undefined): void {
    const { host } = this;
    const { id } = turn.member;
    if (handed) {
      const verdict: Verdict = { verdict: 'done', refused: [{ id, why: 'refused', error: error.message }] };
      return host.settled({ ...pool.members.settle(handed, verdict, host.now()), pool });
    }
    const ended = pool.members.failed(turn, error, host.now());
    if (ended) host.ended(pool, id, ended);
  }
}

class Refusal extends Error {
  constructor(readonly verdict: Verdict) {
    super(`the turn was not committed: ${verdict.verdict}`);
  }
}
