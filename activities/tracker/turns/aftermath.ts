/**
 * The steps after a commit of turns, outside of it: who waits for a reply is told, and so are the nodes of the members
 * that were sent to; the shift takes in the members that their first message has made. All of it are hints, or is read
 * again: what is lost with a node here is found by the next look. Called by `node-turns.ts` for each pool of a commit.
 */
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import type { Address } from '../member/types';
import type { MemberLimits } from '../member/constants';
import type { EndedTurn } from '../member/ended';
import { keepersOf, type Ask } from '../store/mail-notices';
import { membersByIds, type MemberRow } from '../store/members';
import { UnkeptPools } from '../store/unkept';
import type { TurnsHost } from './host';
import type { PoolTurns } from './pool';

/** The members that a shift gains, when its first message has made each. */
export interface Joining {
  rosterVersion: number;
  readonly isOver: boolean;
  joined(rows: MemberRow[]): void;
}

export class Aftermath {
  private readonly spawned = new Map<PoolTurns, Set<string>>();
  private sent: Address[] = [];
  private readonly unkept: UnkeptPools;
  private asking: Promise<void> | undefined;
  private joining: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly host: TurnsHost,
    private readonly shiftOf: (pool: PoolTurns) => Joining | undefined,
    limits: MemberLimits,
  ) {
    this.unkept = new UnkeptPools(database.single, host.log, limits);
  }

  /** These turns of a pool are committed. */
  of(pool: PoolTurns, turns: readonly EndedTurn[]): void {
    const answered = turns.flatMap(({ answer, tellAgain }) => answer ?? tellAgain ?? []);
    if (answered.length > 0) this.host.notifier.toldReplies(answered);
    for (const { sent, spawn, entry } of turns) {
      for (const { to } of sent) this.tell(to);
      if (spawn !== undefined && entry.what.kind === 'mail') this.spawn(pool, entry.what.mail.member);
    }
  }

  /** All that is known has been told, and everybody has joined. */
  async idle(): Promise<void> {
    await this.asking;
    await this.joining;
  }

  /** A member of a pool of ours is looked after at once, and the keeper of another one is told. */
  private tell(to: Address): void {
    for (const pool of this.host.pools) {
      if (pool.tracker === to.tracker && pool.holds(to.id)) return this.host.look(pool);
    }
    this.sent.push(to);
    this.asking ??= this.askAll().finally(() => (this.asking = undefined));
  }

  private async askAll(): Promise<void> {
    await Promise.resolve();
    while (this.sent.length > 0) {
      const sent = this.sent.splice(0);
      try {
        const ask: Ask = (...one) => this.database.rows(...one);
        const { keepers, unkept } = await keepersOf(ask, sent, this.host.placingOf);
        this.host.notifier.toldMail(keepers);
        this.unkept.note(unkept);
      } catch (thrown) {
        this.host.log.debug({ err: errorOf(thrown) }, 'nodes could not be told of mail; they look each second');
      }
    }
  }

  private spawn(pool: PoolTurns, id: string): void {
    const ids = this.spawned.get(pool) ?? new Set<string>();
    this.spawned.set(pool, ids.add(id));
    this.joining ??= this.joinAll().finally(() => (this.joining = undefined));
  }

  private async joinAll(): Promise<void> {
    await Promise.resolve();
    for (let [first] = this.spawned; first; [first] = this.spawned) {
      const [pool, ids] = first;
      this.spawned.delete(pool);
      await this.join(pool, [...ids]).catch((thrown: unknown) => {
        pool.shift.log.debug({ err: errorOf(thrown) }, 'new members are not read now; the whole roster is');
        // The next flush reads it.
        pool.shift.rosterVersion = -1;
        pool.shift.hinted = true;
      });
    }
  }

  /** Members are read once more, if the shift has learned of another roster meanwhile. */
  private async join(pool: PoolTurns, ids: readonly string[]): Promise<void> {
    for (;;) {
      const shift = this.shiftOf(pool);
      if (!shift || shift.isOver) return;
      const { rosterVersion } = shift;
      const rows = await membersByIds(this.database.single, pool.tracker, ids);
      if (shift.rosterVersion !== rosterVersion) continue;
      shift.joined(rows.filter(({ id }) => pool.holds(id)));
      return;
    }
  }
}
