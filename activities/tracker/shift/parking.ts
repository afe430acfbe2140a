/**
 * Members that were due and wait for something that is nobody's time, an upstream's tokens: how many, and from when on
 * those count as late that can begin at last. Kept by `agenda.ts`.
 */
export class Parking {
  size = 0;
  private readonly leftAt = new Map<number, number>();

  enter(): void {
    this.size++;
  }

  leave(slot: number, now: number): void {
    this.size--;
    this.leftAt.set(slot, now);
  }

  /** 0: it has not waited. */
  leftLast(slot: number): number {
    return this.leftAt.get(slot) ?? 0;
  }

  /** Its run has ended, or it is not a member any more. @param isParked it waited still */
  forget(slot: number, isParked = false): void {
    if (isParked) this.size--;
    this.leftAt.delete(slot);
  }
}
