/**
 * Calls the user's `unload` of members that have left the memory, and lets the next `load` of one wait for it: what the
 * one gives back is what the other takes (a connection, a file). Made by `node-turns.ts`; asked by `run.ts`.
 */
import { isDoneWithin } from '../../lib/sleep';
import type { PoolTurns } from './pool';

/** A `load` waits no longer: an `unload` that hangs would keep the member's messages for ever. Milliseconds. */
const WAIT_MS = 1_000;

export class Unloads {
  private readonly underWay = new Map<string, Promise<void>>();

  /** For each of these members. Never throws. */
  begin({ code, shift, tracker }: PoolTurns, ids: readonly string[]): void {
    if (!code.unload) return;
    for (const id of ids) {
      const key = `${tracker}/${id}`;
      const log = shift.log.child({ id });
      const work = Promise.resolve({ tracker, id, log })
        .then(code.unload)
        .catch((thrown: unknown) => log.error({ err: thrown }, 'unload failed'))
        .finally(() => {
          if (this.underWay.get(key) === work) this.underWay.delete(key);
        });
      this.underWay.set(key, work);
    }
  }

  /** The `unload` of that member that is under way has ended, or takes too long. */
  async over(tracker: string, id: string): Promise<void> {
    const work = this.underWay.get(`${tracker}/${id}`);
    if (work) await isDoneWithin(WAIT_MS, work);
  }
}
