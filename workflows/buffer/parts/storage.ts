/**
 * The part of a shard that moves entries to PostgreSQL and back, and asks whether it is there. Each of the three is
 * under way once at most. Called by `shard.ts`; what a store changes is decided in `spill.ts`, a fetch in `fetch.ts`.
 */
import { proxyActivities } from '@temporalio/workflow';
import { RETRY_ONCE } from '../../lib/retry';
import type { BufferActivities } from '../activities';
import { endFetch } from '../fetch';
import { storeReached } from '../outage';
import { beginStore, endStore, undoStore } from '../spill';
import type { LaneName } from '../state';
import { nextReportMoment } from '../status';
import { prefixOf, underFlag, type Part } from './part';
import { SHARD_TUNABLES } from '../tunables';

const { askStore } = proxyActivities<BufferActivities>({
  startToCloseTimeout: SHARD_TUNABLES.storeMs,
  retry: { maximumAttempts: 1 },
});
const { storeChunks, fetchChunks } = proxyActivities<BufferActivities>({
  startToCloseTimeout: SHARD_TUNABLES.storeMs,
  retry: RETRY_ONCE,
});

export class Storage {
  readonly moment = { storing: false, fetching: false, asking: false };

  constructor(private readonly part: Part) {}

  ask(): Promise<void> {
    return underFlag(this.part, this.moment, 'asking', () => askStore(), {
      done: () => storeReached(this.part.state),
      isQuestion: true,
    });
  }

  /** @param leaving the run ends: less may stay in memory. */
  store(leaving: boolean): Promise<void> {
    const { state, index, where } = this.part;
    const storing = beginStore(state, index, leaving, prefixOf(this.part));
    this.part.spent(storing.bytes);
    const keyed = state.options.key !== null;
    const input = { ...where, rows: storing.rows, keyed, moment: nextReportMoment(state, Date.now()) };
    return underFlag(this.part, this.moment, 'storing', () => storeChunks(input), {
      done: (refused) => endStore(state, storing, refused, Date.now()),
      failed: () => undoStore(state, index, storing, prefixOf(this.part)),
    });
  }

  fetch(lane: LaneName): Promise<void> {
    const { state, where } = this.part;
    const { from, to } = state[lane].stored;
    const input = { ...where, lane, from, to, dueMs: Date.now(), limit: SHARD_TUNABLES.fetchRows };
    return underFlag(this.part, this.moment, 'fetching', () => fetchChunks(input), {
      done: (found) => endFetch(state, lane, found, to, Date.now()),
    });
  }
}
