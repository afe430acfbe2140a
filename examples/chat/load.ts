/**
 * The load: some programs that say numbered words in many rooms, and what came of them, asked of the rooms and users
 * themselves. Called by `main.ts`, and by the test of the example.
 */
import type { Longwatch } from 'longwatch';
import { rooms, users, type RoomReply, type User } from './rooms';

/** Longer than any bad day: what is not accepted by then is a failure of the run. */
const PATIENCE = '5m';
/** Words of one program that are under way at once. */
const UNDER_WAY = 64;
/** Each so-many-th word is a request, whose answer is waited for. */
const REQUEST_EVERY = 10;
const AT_ONCE = 100;

export const roomId = (number: number): string => `room-${number}`;
export const userId = (number: number): string => `user-${number}`;

/** One program with a connection of its own. */
export class Speaker {
  sent = 0;
  longestRequestMs = 0;
  /** The longest since somebody asked last. */
  private longestOfLate = 0;
  readonly failures: string[] = [];
  private readonly numbers = new Map<number, number>();
  private readonly underWay = new Set<Promise<void>>();
  private over = false;

  constructor(
    private readonly name: string,
    private readonly longwatch: Longwatch,
    private readonly roomCount: number,
    private readonly draw: () => number,
  ) {}

  /** Words a second, until it is stopped. Waits where too many are under way. */
  async speak(perSecond: number): Promise<void> {
    const began = performance.now();
    for (let words = 0; !this.over; words++) {
      const early = began + (words * 1_000) / perSecond - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      while (this.underWay.size >= UNDER_WAY) await Promise.race(this.underWay);
      this.word(words % REQUEST_EVERY === 0);
    }
    await Promise.all(this.underWay);
  }

  stop(): void {
    this.over = true;
  }

  /** @returns how long a request has waited at most since this was called last, milliseconds */
  lately(): number {
    const longest = this.longestOfLate;
    this.longestOfLate = 0;
    return longest;
  }

  /** Some rooms have far more than others. */
  private word(isRequest: boolean): void {
    const room = Math.floor(this.roomCount * this.draw() ** 3);
    const n = (this.numbers.get(room) ?? 0) + 1;
    this.numbers.set(room, n);
    const member = this.longwatch.tracker(rooms).member(roomId(room));
    const message = { say: `word ${n}`, by: this.name, at: Date.now(), n };
    const done = (
      isRequest ? member.request(message, { timeout: PATIENCE }) : member.send(message, { timeout: PATIENCE })
    )
      .then(() => {
        this.sent++;
        if (!isRequest) return;
        const ms = Date.now() - message.at;
        this.longestRequestMs = Math.max(this.longestRequestMs, ms);
        this.longestOfLate = Math.max(this.longestOfLate, ms);
      })
      .catch((error: Error) => void this.failures.push(`${this.name}, word ${n} in ${roomId(room)}: ${error.message}`));
    const ended = done.finally(() => this.underWay.delete(ended));
    this.underWay.add(ended);
  }
}

export interface Handled {
  words: number;
  /** Lines that users were told of. */
  lines: number;
  /** Words and lines that were not in their order, or came twice. */
  wrong: number;
  longestMs: number;
}

/** Each room has one user who listens. */
export async function fill(longwatch: Longwatch, roomCount: number): Promise<void> {
  await inParts(roomCount, (room) =>
    longwatch
      .tracker(rooms)
      .member(roomId(room))
      .request({ join: userId(room) }, { timeout: PATIENCE }),
  );
}

/** All rooms and users together. */
export async function countHandled(longwatch: Longwatch, roomCount: number): Promise<Handled> {
  const sum: Handled = { words: 0, lines: 0, wrong: 0, longestMs: 0 };
  const of = { timeout: PATIENCE };
  await inParts(roomCount, async (number) => {
    const room: RoomReply = await longwatch
      .tracker(rooms)
      .member(roomId(number))
      .request({ since: Number.MAX_SAFE_INTEGER }, of);
    const user: User = await longwatch.tracker(users).member(userId(number)).request({ report: true }, of);
    sum.words += room.n;
    sum.lines += user.count;
    sum.wrong += room.wrong + user.wrong;
    sum.longestMs = Math.max(sum.longestMs, room.longestMs);
  });
  return sum;
}

async function inParts(count: number, each: (number: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await each(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}
