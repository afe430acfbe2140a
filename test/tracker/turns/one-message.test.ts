/** One message on its node, as `docs/one-message.md` walks it: what each station leaves in PostgreSQL and in memory. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setPointHook } from '../../../activities/lib/points';
import { Listener } from '../../../activities/lib/listener';
import {
  announce,
  clientChannel,
  mailAnnouncements,
  replyNoticeOf,
} from '../../../activities/tracker/store/mail-notices';
import type { MemberContext } from '../../../config/define/member';
import { pino } from 'pino';
import { becomes, database, mailCount, nodeOf, replyTo, send, stack, stateOf, trackerOf } from './kit';

const ROOT = path.join(__dirname, '../../..');

test('the stations of docs/one-message.md are files that exist', () => {
  const text = readFileSync(path.join(ROOT, 'docs/one-message.md'), 'utf8');
  const stations = [...text.matchAll(/\*\*`([^`]+\.ts)`\*\*/g)];
  expect(stations.length).toBeGreaterThanOrEqual(16);
  for (const [, file] of stations) expect(readFileSync(path.join(ROOT, file!), 'utf8').length).toBeGreaterThan(100);
});

test('mail → announcement → inbox → reading → turn → commit → answer → announcement', async () => {
  const heard: string[] = [];
  const listener = new Listener(database, {
    channel: clientChannel('client'),
    heard: (payload) => heard.push(...(replyNoticeOf(payload)?.requests ?? [])),
    log: pino({ level: 'silent' }),
  });
  await listener.start();
  let release = (): void => undefined;
  const handling = new Promise<void>((resolve) => (release = resolve));
  const { turns, commits } = await nodeOf(
    trackerOf({
      state: { initial: { said: [] as string[] } },
      async receive({ say }: { say: string }, context: MemberContext<{ said: string[] }, number>) {
        context.state.said.push(say);
        await handling;
        context.reply(context.state.said.length);
      },
    }),
  );
  const [pool] = turns.pools;
  // Accepted: a row, and nothing else.
  const request = { id: 'r', deadline: Date.now() + 60_000, client: 'client' };
  expect(await send([['lobby', { say: 'hello' }, { request }]])).toEqual(['taken']);
  expect(await mailCount()).toBe(1);
  // The node is told, on its own channel.
  const to = mailAnnouncements([{ node: 'node', tracker: 't', pool: 0 }]);
  await announce((...ask) => database.rows(...ask), to);
  await becomes(
    () => pool!.running.size,
    (running) => running === 1,
  );
  expect(pool!.members.memory.entries).toBe(1);
  // Its turn is not committed, so nobody else sees anything of it.
  expect(await stateOf('lobby')).toBeUndefined();
  const committed = new Promise<void>((resolve) => {
    setPointHook((point) => (point === 'turns.committed' ? resolve() : undefined));
  });
  release();
  await committed;
  expect(await stateOf('lobby')).toEqual({ said: ['hello'] });
  expect(await mailCount()).toBe(0);
  expect(await replyTo('r')).toMatchObject({ json: '1' });
  await becomes(
    () => heard,
    (requests) => requests.includes('r'),
  );
  expect(commits).toEqual([1]);
  expect(pool!.members.memory.entries).toBe(0);
  const members = await stack.sql<{ id: string }>('select id from longwatch.member where removed_at is null');
  expect(members).toEqual([{ id: 'lobby' }]);
  await listener.stop();
});
