/**
 * Counts the mail of pools that nobody keeps, for those who send there: while no node runs, mail would grow without a
 * bound as members are made by it. All that a program has sent to since its last count is counted together, at most
 * each second. Made by `post.ts`; what it finds is said in the database (`store/mail-full.ts`), for all who send.
 */
import type { Logger } from 'pino';
import type { Queryable } from '../../activities/lib/database';
import { errorOf } from '../../activities/lib/failures';
import { CountTimes, sayWhichAreFull, type CountedPool } from '../../activities/tracker/store/mail-full';

export class UnkeptPools {
  private readonly counts = new CountTimes();
  private noted = new Map<string, CountedPool>();

  constructor(
    private readonly db: Queryable,
    private readonly log: Pick<Logger, 'debug'>,
  ) {}

  /** Something was sent there. */
  note(pools: readonly CountedPool[]): void {
    for (const pool of pools) this.noted.set(`${pool.tracker}/${pool.pool}`, pool);
    if (this.noted.size > 0) this.counts.run(() => this.count());
  }

  /** The count that is under way has ended. */
  async idle(): Promise<void> {
    await this.counts.idle();
  }

  private async count(): Promise<void> {
    const pools = [...this.noted.values()];
    this.noted = new Map();
    try {
      await sayWhichAreFull(this.db, pools);
    } catch (thrown) {
      this.log.debug({ err: errorOf(thrown) }, 'the mail of pools that nobody keeps was not counted');
    }
  }
}
