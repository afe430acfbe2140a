/**
 * Members for whom an operation with `while: 'awake'` does not run, since they sleep: each is put aside when its time
 * comes, and runs when it is awake again. `awake.ts` says who is awake. Kept by `operation.ts`, one an operation.
 */
import type { Operation } from './host';

export class Sleepers {
  private readonly slots = new Set<number>();

  constructor(
    private readonly loop: Pick<Operation, 'agenda' | 'options'>,
    private readonly isAwake: (slot: number) => boolean,
  ) {}

  /** @param slot was taken from the agenda. @returns whether it is put aside */
  takes(slot: number): boolean {
    if (this.loop.options.while !== 'awake' || this.isAwake(slot)) return false;
    this.loop.agenda.sleep(slot);
    this.slots.add(slot);
    return true;
  }

  /** It may run again: now, since its time has come. @returns whether it slept */
  wake(slot: number, now: number): boolean {
    if (!this.slots.delete(slot)) return false;
    this.loop.agenda.wake(slot, now);
    return true;
  }

  /** Options have changed, so all of them are asked about anew. @returns whether anybody slept */
  wakeAll(now: number): boolean {
    const all = [...this.slots];
    for (const slot of all) this.wake(slot, now);
    return all.length > 0;
  }

  leave(slot: number): void {
    this.slots.delete(slot);
  }
}
