/** The config of the workers of `members`: rooms that count, and ids that are looked at each second beside them. */
import { defineConfig, defineTracker, type MemberContext } from '../../exports';

export interface Room {
  words: number;
  last: string;
}

let made = 0;

export const rooms = defineTracker({
  name: 'rooms',
  operations: {},
  poolSize: 2_500,
  state: { initial: (): Room => ({ words: 0, last: '' }) },
  receive: (message: { say: string }, ctx: MemberContext<Room, number>) => {
    ctx.state.words++;
    ctx.state.last = message.say;
    ctx.reply(ctx.state.words);
  },
});

export const ids = defineTracker({
  name: 'ids',
  operations: { look: { every: '1s', concurrency: 200, run: () => ({ value: { number: ++made } }) } },
});

export default defineConfig({ trackers: [rooms, ids] });
