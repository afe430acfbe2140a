/**
 * Runs the turns that may end their process (`member/strikes.ts` says which): a strike is written before the handler
 * begins and deleted when it has come back, those of many turns by one statement. Suspects have a lane: one of them
 * runs at a time on a node, beside all others. Called by `turner.ts`.
 */
import { errorOf } from '../../lib/failures';
import { isDoneWithin, sleep } from '../../lib/sleep';
import { isPassing } from '../../lib/sqlstate';
import type { MemberLimits } from '../member/constants';
import { ProcessEnded } from '../member/strikes';
import type { Turn } from '../member/turn';
import { Semaphore } from '../shift/semaphore';
import { countStrikes, takeBackStrikes, type Strike } from '../store/strikes';
import type { TurnsHost } from './host';
import type { PoolTurns } from './pool';
import { Together } from './together';

/** A strike that could not be deleted: tried again so often, and after so long. It would be one too many. */
const TRIES = 3;
const AGAIN_MS = 500;

/** One is to be counted, or taken back. */
interface Change {
  readonly strike: Strike;
  readonly back?: { readonly hasBegun: boolean };
}

export class Strikes {
  private readonly lane = new Semaphore(1);
  private readonly changes: Together<Change, number | undefined>;

  constructor(
    private readonly host: Pick<TurnsHost, 'database' | 'log' | 'now' | 'look'>,
    private readonly limits: MemberLimits,
  ) {
    this.changes = new Together((all) => this.write(all));
  }

  /** Runs what a suspect does when it is its turn. Never rejects. */
  alone(work: () => Promise<void>): void {
    void this.lane.run(() => isDoneWithin(this.limits.suspectMs, work()));
  }

  /**
   * @param handle runs its handler, and ends the turn
   * @param fail ends the turn without it
   * @returns when one of them was called, or the turn is mail again
   */
  async run(
    pool: PoolTurns,
    turn: Turn,
    { handle, fail }: { handle: () => Promise<void>; fail: (error: Error) => void },
  ): Promise<void> {
    const { id } = turn.member;
    // It has waited for its turn: its member may be another by now.
    if (turn.isOver) return;
    if (!pool.mayBegin) return pool.members.giveBack(turn);
    let strike: Strike;
    try {
      strike = { owner: pool.owner, slot: pool.slotOf(id), key: turn.context.key };
    } catch (thrown) {
      // Code of users has a part in it (a route).
      return fail(errorOf(thrown));
    }
    pool.strikes.begins(turn);
    const count = await this.count(pool, strike);
    let isDead = false;
    if (!turn.isOver) {
      // The shift has ended meanwhile, say.
      if (!pool.mayBegin) pool.members.giveBack(turn);
      else if (count !== undefined && count >= this.limits.strikes) {
        isDead = true;
        fail(new ProcessEnded(this.limits.strikes));
      } else if (count === undefined || this.isTooLate(turn)) {
        pool.members.readAgain(id, this.host.now());
        this.host.look(pool);
      } else {
        // Its process may end now, and this is what is left of it.
        if (count > 1)
          pool.shift.log.warn({ id, strikes: count }, 'the process of its last keeper may have ended by it');
        await handle();
      }
    }
    const isLast = pool.strikes.leaves(turn);
    // The strikes that it has failed by stay until that is committed, and are forgotten with the rest.
    if (!isLast || isDead || count === 0) return;
    // One that did not begin proves nothing of what earlier keepers have counted: only our own is taken back.
    const { hasBegun } = turn;
    await this.takeBack(pool, turn, { strike, back: { hasBegun } });
    if (hasBegun || count === 1) pool.strikes.cleared(turn);
  }

  /** One after another: what is taken back before it is counted anew is counted. */
  private async write(all: readonly Change[]): Promise<(number | undefined)[]> {
    const { single } = this.host.database;
    const taken = all.flatMap(({ strike, back }) => (back ? { strike, ...back } : []));
    const counted = all.flatMap(({ strike, back }) => (back ? [] : strike));
    if (taken.length > 0) await takeBackStrikes(single, taken);
    const counts = counted.length > 0 ? await countStrikes(single, counted) : [];
    let at = 0;
    return all.map(({ back }) => (back ? undefined : counts[at++]));
  }

  private isTooLate({ entry: { what } }: Turn): boolean {
    return what.kind === 'mail' && what.mail.request !== undefined && what.mail.request.deadline <= this.host.now();
  }

  /** @returns undefined: nothing may begin now; 0: it cannot be counted at all, and is handled all the same */
  private async count(pool: PoolTurns, strike: Strike): Promise<number | undefined> {
    try {
      return await this.changes.ask({ strike });
    } catch (thrown) {
      this.failed(thrown, 'a message that may have ended a process cannot be counted now');
      if (!isPassing(thrown)) return 0;
      pool.waitsForStore();
      return undefined;
    }
  }

  /** If the database does not answer for so long, the strike stays, and the message may be a suspect then. */
  private async takeBack(pool: PoolTurns, turn: Turn, change: Change): Promise<void> {
    for (let left = TRIES; left > 0; left--) {
      try {
        await this.changes.ask(change);
        return;
      } catch (thrown) {
        this.failed(thrown, 'a strike cannot be taken back now');
        await sleep(AGAIN_MS);
        // It was counted anew meanwhile, and is that turn's by now.
        if (pool.strikes.isAtWork(turn)) return;
      }
    }
  }

  private failed(thrown: unknown, words: string): void {
    const error = errorOf(thrown);
    if (isPassing(error)) this.host.log.debug({ err: error }, words);
    else this.host.log.error({ err: error }, words);
  }
}
