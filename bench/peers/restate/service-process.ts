/** The rooms of `bench/member/members.config.ts` as Restate's virtual objects, which its server calls by HTTP/2. */
import { serve } from '../../harness/child';
import { restateSdk, type ObjectContext } from './packages';

interface Room {
  words: number;
  last: string;
}

async function say(ctx: ObjectContext, message: { say: string }): Promise<number> {
  const room = (await ctx.get<Room>('room')) ?? { words: 0, last: '' };
  room.words++;
  room.last = message.say;
  ctx.set('room', room);
  return room.words;
}

serve({
  start: async (port: number) => {
    const restate = restateSdk();
    await restate.serve({ services: [restate.object({ name: 'room', handlers: { say } })], port });
  },
});
