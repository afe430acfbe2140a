/**
 * The members of a pool while a shift keeps it, as slots: small numbers that index the arrays of every operation. A
 * slot is never used again in the same shift, so a late result can not reach another member.
 */
import { hashId } from '../../workflows/tracker/plan';

export class Members {
  private readonly slots = new Map<string, number>();
  private readonly ids: string[] = [];
  private readonly keys: number[] = [];
  private readonly added: number[] = [];

  get size(): number {
    return this.slots.size;
  }

  slotOf(id: string): number | undefined {
    return this.slots.get(id);
  }

  /** A new slot for an id that has none. */
  join(id: string, key: number, addedAt: number): number {
    const slot = this.ids.length;
    this.slots.set(id, slot);
    this.ids.push(id);
    this.keys.push(key);
    this.added.push(addedAt);
    return slot;
  }

  leave(id: string): number | undefined {
    const slot = this.slots.get(id);
    this.slots.delete(id);
    return slot;
  }

  id(slot: number): string {
    return this.ids[slot]!;
  }
  /** Key of the member's row. */
  key(slot: number): number {
    return this.keys[slot]!;
  }
  /** When the member was added, epoch milliseconds. */
  addedAt(slot: number): number {
    return this.added[slot]!;
  }
  /** 0 to 1 by the hash of the id, for the stagger. Another mix than the pool's, so that a pool's members spread evenly. */
  share(slot: number): number {
    return hashId(`${this.ids[slot]!}~`) / 2 ** 32;
  }

  forEach(visit: (slot: number) => void): void {
    for (const slot of this.slots.values()) visit(slot);
  }
}
