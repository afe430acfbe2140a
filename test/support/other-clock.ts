/**
 * A machine whose clock is another one than the database's: `jest.useFakeTimers({ now, doNotFake: ALL_BUT_DATES })`.
 * Timers go on.
 */

type Config = Extract<Parameters<typeof jest.useFakeTimers>[0], { doNotFake?: unknown }>;

export const ALL_BUT_DATES: Config['doNotFake'] = [
  'nextTick',
  'queueMicrotask',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'performance',
  'hrtime',
];
