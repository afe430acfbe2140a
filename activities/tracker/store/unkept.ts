/**
 * Counts the mail of pools that no node handles, for those who send there: nobody keeps them, or a node whose code does
 * not know their `receive`. Mail would grow without a bound, as members are made by it. All that a process has sent to
 * since its last count is counted together, at most each second. Programs have one (`client/member/post.ts`), and
 * nodes, for what their handlers send (`turns/aftermath.ts`); what it finds is said in the database (`mail-full.ts`),
 * for all who send.
 */
import type { Logger } from 'pino';
import type { Queryable } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import type { MemberLimits } from '../member/constants';
import { CountTimes, sayWhichAreFull, type CountedPool } from './mail-full';

export class UnkeptPools {
  private readonly counts = new CountTimes();
  private noted = new Map<string, CountedPool>();

  constructor(
    private readonly db: Queryable,
    private readonly log: Pick<Logger, 'debug'>,
    private readonly limits?: MemberLimits,
  ) {}

  /** Something was sent there. */
  note(pools: readonly CountedPool[]): void {
    for (const pool of pools) this.noted.set(`${pool.tracker}/${pool.pool}`, pool);
    if (this.noted.size > 0) this.counts.run(() => this.count());
  }

  /** All that was noted is counted: who sends and ends is the only one who could. */
  async idle(): Promise<void> {
    await this.counts.idle();
    if (this.noted.size > 0) await this.count();
  }

  private async count(): Promise<void> {
    const pools = [...this.noted.values()];
    this.noted = new Map();
    try {
      await sayWhichAreFull(this.db, pools, this.limits);
    } catch (thrown) {
      this.log.debug({ err: errorOf(thrown) }, 'the mail of pools that no node handles was not counted');
    }
  }
}
