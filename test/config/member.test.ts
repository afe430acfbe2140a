/**
 * Members that receive, as a user defines them: the types that flow from a definition to whoever sends, the compiled
 * options, and what is refused with a sentence.
 */
import { defineConfig } from '../../config/define/config';
import type { MemberContext, MessageOf, ReplyOf, StateOf } from '../../config/define/member';
import { defineTracker } from '../../config/define/tracker';
import { ConfigError } from '../../config/errors';
import { resolveConfig } from '../../config/resolve/config';

interface Room {
  said: string[];
}
type Said = { say: string } | { who: true };

const rooms = defineTracker({
  name: 'rooms',
  operations: {},
  state: {
    initial: (): Room => ({ said: [] }),
    version: 2,
    migrate: { 1: (old: { text: string }) => ({ said: [old.text] }) },
  },
  receive(message: Said, context: MemberContext<Room, number>) {
    if ('say' in message) context.state.said.push(message.say);
    context.reply(context.state.said.length);
  },
});

const users = defineTracker({
  name: 'users',
  state: { initial: { seen: 0 } },
  operations: {
    profile: {
      every: '1m',
      run: () => ({ value: 1 }),
      while: 'awake',
      apply(value: number, { state }: MemberContext<{ seen: number }>) {
        state.seen = value;
      },
    },
  },
  receive: {
    timeout: '1s',
    maxMail: 10,
    handle: (message: { add: number }, context) => {
      context.state.seen += message.add;
      context.send<typeof rooms>({ tracker: 'rooms', id: 'lobby' }, { say: 'hello' });
      // @ts-expect-error rooms do not take this
      context.send<typeof rooms>({ tracker: 'rooms', id: 'lobby' }, { sya: 'hello' });
    },
  },
});

test('the types of messages, states and replies are those of the definition', () => {
  const message: MessageOf<typeof rooms> = { say: 'hello' };
  const reply: ReplyOf<typeof rooms> = 5;
  const state: StateOf<typeof rooms> = { said: [] };
  const other: MessageOf<typeof users> = { add: 1 };
  const seen: StateOf<typeof users> = { seen: 1 };
  // @ts-expect-error it takes another message
  const wrong: MessageOf<typeof rooms> = { sya: 'hello' };
  // @ts-expect-error it replies with a number
  const text: ReplyOf<typeof rooms> = 'five';
  expect([message, reply, state, other, seen, wrong, text]).toHaveLength(7);
});

test('what is given is compiled, and the rest has its default; a tracker without receive has none of it', () => {
  const plain = defineTracker({ name: 'plain', operations: { a: { every: '1s', run: () => ({ value: 1 }) } } });
  const defaults = { tracker: { receive: { timeout: '2s', attempts: 3 } } };
  const resolved = resolveConfig(defineConfig({ trackers: [rooms, users, plain], defaults }));
  const [ofRooms, ofUsers, ofPlain] = resolved.trackers.map(({ options }) => options);
  expect(ofRooms!.receive).toEqual({
    timeoutMs: 2_000,
    concurrency: 50,
    attempts: 3,
    retryBaseMs: 1_000,
    retryCapMs: 60_000,
    maxMail: 1_000,
    maxMailBytes: 4 * 1024 * 1024,
    idleMs: 300_000,
    stateVersion: 2,
  });
  expect(ofUsers!.receive).toMatchObject({ timeoutMs: 1_000, attempts: 3, maxMail: 10, stateVersion: 1 });
  expect(ofUsers!.sources).toMatchObject({ 'receive.timeoutMs': 'definition', 'receive.attempts': 'defaults' });
  expect(ofUsers!.operations.profile!.while).toBe('awake');
  expect(ofPlain).not.toHaveProperty('receive');
  expect(ofPlain!.operations.a).not.toHaveProperty('while');
});

const operations = { a: { every: '1s', run: () => ({ value: 1 }) } };
const receive = (): void => undefined;

test.each<[object, string]>([
  [{ operations, state: {} }, 'trackers.t.state is for members that receive'],
  [{ operations, load: receive }, 'trackers.t.load is for members that receive'],
  [{ operations: {} }, 'trackers.t.operations must have at least one operation'],
  [{ operations: {}, receive: 'x' }, 'trackers.t.receive must be a function'],
  [{ operations: {}, receive: {} }, 'trackers.t.receive.handle must be a function'],
  [{ operations: {}, receive: { handle: receive, timout: 1 } }, "timout is not an option; did you mean 'timeout'?"],
  [{ operations: {}, receive: { handle: receive, timeout: 1 } }, 'trackers.t.receive.timeout must be at least'],
  [{ operations: {}, receive: { handle: receive, isolate: true } }, 'trackers.t.receive.isolate is not possible'],
  [{ operations: {}, receive: { handle: receive, transaction: 1 } }, 'transaction must be true or false'],
  [{ operations: {}, receive, load: 1 }, 'trackers.t.load must be a function'],
  [{ operations: {}, receive, state: { version: 0 } }, 'trackers.t.state.version must be a whole number'],
  [{ operations: {}, receive, state: { version: 2 } }, 'trackers.t.state.migrate has no step from 1 to 2'],
  [
    { operations: {}, receive, state: { version: 4, migrate: { 2: receive } } },
    'trackers.t.state.migrate has no step from 3 to 4',
  ],
  [{ operations: {}, receive, state: { migrate: { a: receive } } }, 'migrate.a must be the number of a version'],
  [{ operations: {}, receive, state: { initial: 1n } }, 'trackers.t.state.initial must be JSON'],
  [{ operations: { a: { ...operations.a, apply: receive } } }, 'operations.a.apply is for members that receive'],
  [{ operations: { a: { ...operations.a, while: 'awake' } } }, 'operations.a.while is for members that receive'],
  [
    { operations: { a: { ...operations.a, while: 'asleep' } }, receive },
    "operations.a.while must be 'always' or 'awake'",
  ],
  [{ operations: { a: { ...operations.a, apply: receive, isolate: true } }, receive }, 'apply cannot be isolated'],
])('%j is refused', (tracker, problem) => {
  const config = defineConfig({ trackers: [{ name: 't', ...tracker } as never] });
  expect(() => resolveConfig(config)).toThrow(ConfigError);
  expect(() => resolveConfig(config)).toThrow(problem);
});
