/**
 * The time for which a node may spend its part of a bucket: by the monotonic or the wall clock, whichever is past its
 * end first (a suspended machine's monotonic clock stands still), counted from the moment at which the node asked. Kept
 * by `account.ts`, and looked at for each request: a part never ends by a timer.
 */
import type { Clocks, Instant } from './ticket';

export class PartTime {
  /** When the last renewal was sent. */
  asked: Instant | undefined;
  private begun: Instant | undefined;
  private lasts = 0;

  constructor(private readonly clocks: Clocks) {}

  ask(): Instant {
    return (this.asked = this.now());
  }

  /** The last renewal was granted, for so many seconds. */
  begin(lasts: number): void {
    this.begun = this.asked;
    this.lasts = lasts;
  }

  /** Nothing is granted any more. */
  end(): void {
    this.begun = undefined;
  }

  get lives(): boolean {
    const { begun, lasts } = this;
    if (!begun) return false;
    const { monotonic, wall } = this.now();
    return monotonic < begun.monotonic + lasts && wall < begun.wall + lasts;
  }

  /** There was one, and its time is over. */
  get isOver(): boolean {
    return this.begun !== undefined && !this.lives;
  }

  now(): Instant {
    return { monotonic: this.clocks.monotonic(), wall: this.clocks.wall() };
  }
}
