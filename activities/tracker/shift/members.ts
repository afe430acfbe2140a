/**
 * The members of a pool's shift by their slots: small numbers by which its loops, agendas and results know them, so
 * that a run costs no look-up of an id. Kept by `pool-shift.ts`.
 */
import { hashId } from '../../../workflows/lib/hash';
import type { MemberRow } from '../store/members';

export class Members {
  private readonly slots = new Map<string, number>();
  private readonly ids: string[] = [];
  private readonly keys: number[] = [];
  private readonly added: number[] = [];
  private readonly places: number[] = [];
  private readonly unused: number[] = [];

  get size(): number {
    return this.slots.size;
  }

  slotOf(id: string): number | undefined {
    return this.slots.get(id);
  }

  /**
   * A slot for an id that has none. A member that was removed and added again has its key still, so it gets another
   * slot: what is under way of its time before is not taken for its own.
   */
  join({ id, key, addedAt, place }: Pick<MemberRow, 'id' | 'key' | 'addedAt' | 'place'>): number {
    let slot = this.unused.pop() ?? this.ids.length;
    if (this.keys[slot] === key) {
      const before = slot;
      slot = this.unused.pop() ?? this.ids.length;
      this.unused.push(before);
    }
    this.slots.set(id, slot);
    this.ids[slot] = id;
    this.keys[slot] = key;
    this.added[slot] = addedAt;
    this.places[slot] = place;
    return slot;
  }

  leave(id: string): number | undefined {
    const slot = this.slots.get(id);
    if (slot === undefined) return undefined;
    this.slots.delete(id);
    this.unused.push(slot);
    return slot;
  }

  /** Whether the slot is still that of the member with this key. */
  holds(slot: number, key: number): boolean {
    return this.keys[slot] === key && this.slots.get(this.ids[slot]!) === slot;
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
  /** Its place among the pools: the slot of its row. */
  place(slot: number): number {
    return this.places[slot]!;
  }
  /**
   * 0 to 1 by the hash of the id, for the stagger. Another mix than the pool's, so that a pool's members spread evenly.
   */
  share(slot: number): number {
    return hashId(`${this.ids[slot]!}~`) / 2 ** 32;
  }

  /** The keys of all members. */
  allKeys(): number[] {
    return [...this.slots.values()].map((slot) => this.keys[slot]!);
  }

  forEach(visit: (slot: number) => void): void {
    for (const slot of this.slots.values()) visit(slot);
  }
}
