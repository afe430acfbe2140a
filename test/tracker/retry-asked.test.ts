/**
 * A shift on its node's own queue asks Temporal to be tried again on the shared one: an answer that is lost is asked
 * for again, a refusal (a server without that API) is taken, and a shift that is over asks for nothing more.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { isRefused } from '../../activities/lib/temporal';
import { retryAnywhere } from '../../activities/tracker/shift/retry-anywhere';
import { nodeShiftQueue } from '../../workflows/tracker/contract';
import { defineTracker } from '../../exports';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });
const claim = { tracker: 't', pool: 1, runId: 'run', shift: 2, attempt: 1, node: 'n' };
const { options } = rowOf(
  defineTracker({ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }),
);

/** As the SDK throws it. */
const grpc = (code: number): Error => Object.assign(new Error(`code ${code}`), { code, details: '', metadata: {} });
const UNIMPLEMENTED = grpc(12);
const UNAVAILABLE = grpc(14);
const DEADLINE_EXCEEDED = grpc(4);

/** @param answers of the server, one after the other. @returns how often it was asked */
async function ask(answers: (Error | undefined)[], { taskQueue = nodeShiftQueue('n'), over = NEVER } = {}) {
  let asked = 0;
  const retryOn = (): Promise<void> => {
    const answer = answers[asked++];
    return answer ? Promise.reject(answer) : Promise.resolve();
  };
  const environment = new MockActivityEnvironment({ taskQueue });
  await environment.run(() => retryAnywhere({ retryOn }, claim, options, log, over));
  return asked;
}
const NEVER = new AbortController().signal;

test('an answer that was lost is asked for again, until there is one', async () => {
  expect(await ask([DEADLINE_EXCEEDED, UNAVAILABLE])).toBe(3);
});

test('a server that does not know the request, or the activity, is asked once', async () => {
  for (const code of [3, 5, 7, 9, 12]) expect(await ask([grpc(code)])).toBe(1);
  expect(isRefused(UNIMPLEMENTED)).toBe(true);
  expect(isRefused(new Error('not of the server'))).toBe(false);
});

test('a shift that is over asks for nothing more', async () => {
  const ending = new AbortController();
  const asked = ask([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], { over: ending.signal });
  ending.abort();
  expect(await asked).toBe(1);
});

test('a shift of the shared queue is tried again there anyway', async () => {
  expect(await ask([], { taskQueue: 'longwatch-shifts' })).toBe(0);
});
