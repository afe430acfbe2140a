/**
 * Rooms and users: members with a life. A room numbers what is said in it and tells each user who is there; a user
 * keeps how far it has read in each room. Both count what is not in its order, which is how `load.ts` knows.
 */
import { defineTracker, type MemberContext } from 'longwatch';

export interface Line {
  n: number;
  by: string;
  text: string;
}

export interface Room {
  /** Words so far; the number of the last line. */
  count: number;
  /** The last of them. */
  lines: Line[];
  /** Users who are told. */
  here: string[];
  /** By sender: the last number of its own, where it gives one. */
  last: Record<string, number>;
  /** Words that came twice, or before others that were said before. */
  wrong: number;
  /** The longest time from a word to its turn, milliseconds. */
  longestMs: number;
}

export type RoomMessage =
  | { say: string; by: string; at: number; n?: number }
  | { join: string }
  | { leave: string }
  /** What was said after that number. */
  | { since: number }
  /** From its timer: nobody has come for a day. */
  | { close: true };

export interface RoomReply {
  n: number;
  lines: Line[];
  here: string[];
  wrong: number;
  longestMs: number;
}

const KEPT_LINES = 100;
const MOST_USERS = 200;

type RoomContext = MemberContext<Room, RoomReply>;

export const rooms = defineTracker({
  name: 'rooms',
  operations: {},
  poolSize: 100,
  heartbeatTimeout: '3s',
  state: { initial: (): Room => ({ count: 0, lines: [], here: [], last: {}, wrong: 0, longestMs: 0 }) },
  receive: (message: RoomMessage, ctx: RoomContext) => {
    const room = ctx.state;
    if ('say' in message) say(message, ctx);
    if ('join' in message) join(message.join, ctx);
    if ('leave' in message) room.here = room.here.filter((user) => user !== message.leave);
    if ('close' in message) room.here = [];
    const since = 'since' in message ? message.since : room.count - 1;
    const lines = room.lines.filter(({ n }) => n > since);
    ctx.reply({ n: room.count, lines, here: room.here, wrong: room.wrong, longestMs: room.longestMs });
  },
});

function say({ say: text, by, at, n }: Extract<RoomMessage, { say: string }>, ctx: RoomContext): void {
  const room = ctx.state;
  if (n !== undefined) {
    if (n !== (room.last[by] ?? 0) + 1) room.wrong++;
    room.last[by] = n;
  }
  room.longestMs = Math.max(room.longestMs, Date.now() - at);
  room.count++;
  room.lines = [...room.lines, { n: room.count, by, text }].slice(-KEPT_LINES);
  for (const user of room.here) ctx.send<typeof users>({ tracker: 'users', id: user }, { room: ctx.id, n: room.count });
}

function join(user: string, ctx: RoomContext): void {
  const { here } = ctx.state;
  if (!here.includes(user) && here.length < MOST_USERS) here.push(user);
  // Each that comes sets it anew.
  ctx.after('1d', { close: true } satisfies RoomMessage, { name: 'close' });
}

export interface User {
  /** By room: the number of the line that it was told of last. */
  read: Record<string, number>;
  count: number;
  wrong: number;
}

export type UserMessage = { room: string; n: number } | { report: true };

export const users = defineTracker({
  name: 'users',
  operations: {},
  poolSize: 100,
  heartbeatTimeout: '3s',
  state: { initial: (): User => ({ read: {}, count: 0, wrong: 0 }) },
  receive: (message: UserMessage, ctx: MemberContext<User, User>) => {
    const user = ctx.state;
    if ('room' in message) {
      const before = user.read[message.room];
      if (before !== undefined && message.n !== before + 1) user.wrong++;
      user.read[message.room] = message.n;
      user.count++;
    }
    ctx.reply(user);
  },
});
