/**
 * A turn in a transaction of its own, from its beginning to its commit (`receive: { transaction: true }`): its code
 * runs and may read and write there, then the turn is committed with it. Called by `turner.ts` in place of `run.ts`
 * alone. It runs on connections of its own, since each holds one as long as its code takes.
 *
 * Nothing of Longwatch is locked while code of users runs: the pool can be taken by another node, its roster can
 * change, the member can be removed. The commit compares, as that of any other turn. A turn that makes its member needs
 * the pool's fence alone, so it waits for those that commit (`door.ts`), and not for code.
 *
 * If the code throws, or leaves a transaction that the database refuses to commit, that is rolled back and the failure
 * is committed as that of any other turn. If anything of passing nature keeps it from being committed, the member is
 * read again and the message is handled again.
 */
import { errorOf } from '../../lib/failures';
import { sleep } from '../../lib/sleep';
import { isPassing } from '../../lib/sqlstate';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';
import type { Handed, Verdict } from '../member/commit';
import { Room } from '../member/commit';
import type { EndedTurn } from '../member/ended';
import type { MemberLimits } from '../member/constants';
import type { PoolSettled } from '../member/writer';
import type { Turn } from '../member/turn';
import { Semaphore } from '../shift/semaphore';
import { commitTurns } from '../store/lives';
import { trackersOf, type CommitHost, type Pushes } from './committer';
import type { PoolTurns } from './pool';
import { ShiftOver } from './over';
import { runCode } from './run';
import type { RunsAlone } from './turner';

const OURS = `longwatch.pool p
               where p.tracker = $1 and p.pool = $2 and p.token = $3 and p.run_id = $4 and p.shift = $5 and p.attempt = $6`;
/** No row: another one has the pool. */
const BEGIN: Statement = {
  name: 'turn-alone-begin',
  text: `select l.version::float8 as version from (select 1 from ${OURS}) f
         left join longwatch.life l on l.tracker = $1 and l.id = $7`,
};
const ROSTER: Statement = {
  name: 'turn-alone-roster',
  text: `select p.roster_version::float8 as version from ${OURS}`,
};
const FENCE_WAIT_MS = 200;
const COMMIT_MS = 4_000;
/** Waits a moment for who has the fence. From here on the code's limits do not count. */
const fenceLock = (name: string, strength: string): Statement => ({
  name,
  text: `with limits as materialized (
           select set_config('lock_timeout', '${FENCE_WAIT_MS}', true), set_config('statement_timeout', '${COMMIT_MS}', true)
         )
         select 1 from limits cross join ${OURS} for ${strength} of p`,
});
const FENCE = fenceLock('turn-alone-fence', 'share');
/** A new member changes its pool's count. */
const FENCE_TO_SPAWN = fenceLock('turn-alone-fence-spawn', 'no key update');

/** How long a turn waits for its shift to read a roster that has changed, and how often it looks. Milliseconds. */
const ROSTER_MS = 2_000;
const ROSTER_LOOK_MS = 20;
/** So much longer than its code may take a transaction lives whose node is frozen, or gone. Milliseconds. */
const IDLE_MORE_MS = 5_000;

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

export class AloneTurns implements RunsAlone {
  /** Each transaction has one of its own: they may be rolled back in any order. */
  private readonly feeds: Pushes[] = [];
  /** Turns wait here for a connection, in the order in which they came, and not in the pool, which would fail them. */
  private readonly places: Semaphore;

  constructor(
    private readonly database: Database,
    private readonly host: CommitHost,
    private readonly limits: MemberLimits,
    private readonly newPushes: () => Pushes | undefined,
  ) {
    this.places = new Semaphore(database.most);
  }

  inPlace(work: () => Promise<void>): Promise<void> {
    return this.places.run(work);
  }

  /** Never rejects. */
  async run(pool: PoolTurns, turn: Turn): Promise<void> {
    const { host } = this;
    const pushes = this.feeds.pop() ?? this.newPushes();
    const { timeoutMs } = pool.options;
    let handed: Handed | undefined;
    let verdict: Verdict;
    let leave: (() => void) | undefined;
    try {
      verdict = await this.database.transaction(
        async (db) => {
          await this.runCode(db, pool, turn);
          leave = await pool.door.enter(this.makesItsMember(pool, turn));
          await this.rosterRead(db, pool);
          handed = this.hand(pool, turn);
          return this.commit(db, pool, handed, pushes);
        },
        // The code's own time-out is the limit.
        { statementTimeoutMs: timeoutMs, idleTimeoutMs: timeoutMs + IDLE_MORE_MS },
      );
      pushes?.committed();
    } catch (thrown) {
      pushes?.rolledBack();
      this.failed(pool, turn, errorOf(thrown), handed);
      return;
    } finally {
      leave?.();
      if (pushes) this.feeds.push(pushes);
    }
    const settled = pool.members.settle(handed!, verdict, host.now());
    host.settled({ ...settled, pool } satisfies PoolSettled);
  }

  private async runCode(db: Queryable, pool: PoolTurns, turn: Turn): Promise<void> {
    const { id } = turn.member;
    const [row] = await run<{ version: number | null }>(db, BEGIN, [...ownerOf(pool), id]);
    const version = pool.members.member(id)?.version;
    if (!row || (row.version ?? 0) !== version) throw new NotCommitted();
    try {
      await runCode(this.host, pool, turn, db);
    } catch (thrown) {
      // Code that goes on all the same would write behind the rollback, outside of any transaction.
      turn.close();
      throw new CodeFailed(errorOf(thrown));
    }
  }

  private makesItsMember(pool: PoolTurns, { member, entry }: Turn): boolean {
    return entry.what.kind === 'mail' && pool.members.member(member.id)?.image.present === false;
  }

  /** All at once: what has ended and is not handed over would go into the next commit of the node. */
  private hand(pool: PoolTurns, turn: Turn): Handed {
    const ended = pool.members.ended(turn, this.host.now());
    // It was taken from the handler meanwhile.
    if (!ended) throw new NotCommitted();
    // A state that JSON cannot say: its failure is committed as any other.
    if (ended.outcome !== 'handled') throw new TurnFailed(ended);
    const { id } = turn.member;
    const handed = pool.members.hand(pool.fence(), new Room({ ...this.limits, commitTurns: 1 }), id);
    if (!handed) throw new NotCommitted();
    return handed;
  }

  /** Its roster may have changed while the code ran: the shift reads that first, or the code would run again. */
  private async rosterRead(db: Queryable, pool: PoolTurns): Promise<void> {
    for (let waited = 0; waited < ROSTER_MS; waited += ROSTER_LOOK_MS) {
      const [row] = await run<{ version: number }>(db, ROSTER, ownerOf(pool));
      // None: it is another node's, as the commit will say.
      if (!row || row.version === pool.shift.rosterVersion) return;
      this.host.settled({ turns: [], failed: [], void: [], verdict: 'roster', pool });
      await sleep(ROSTER_LOOK_MS);
    }
  }

  private async commit(db: Queryable, pool: PoolTurns, { part }: Handed, pushes: Pushes | undefined): Promise<Verdict> {
    const { host } = this;
    await host.meet(trackersOf({ pools: [part] }));
    const isSpawn = part.members.some(({ spawn }) => spawn !== undefined);
    await run(db, isSpawn ? FENCE_TO_SPAWN : FENCE, ownerOf(pool));
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
      if (error.thrown instanceof ShiftOver) return pool.members.giveBack(turn);
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

/** The values by which the statements above know that the pool is ours. */
function ownerOf({ shift: { claim, token } }: PoolTurns): unknown[] {
  return [claim.tracker, claim.pool, token, claim.runId, claim.shift, claim.attempt];
}

class Refusal extends Error {
  constructor(readonly verdict: Verdict) {
    super(`the turn was not committed: ${verdict.verdict}`);
  }
}
