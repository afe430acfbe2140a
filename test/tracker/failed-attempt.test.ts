/** When a shift that has failed is tried again: its attempts are counted from its beginning, the waits are not. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { failure } from '../../activities/lib/failures';
import { againAfterMs, failedAttempt } from '../../activities/tracker/shift/failed-attempt';
import { ErrorType } from '../../workflows/lib/errors';
import { RETRY_SHIFT } from '../../workflows/lib/retry';

test('one that has lasted comes again at once, also when many nodes have died under it', () => {
  for (const attempt of [1, 8, 1_000]) expect(againAfterMs(attempt, 10_000)).toBe(100);
});

test('one that fails right away comes later each time, up to ten seconds', () => {
  expect([1, 2, 3, 7, 8, 1_000].map((attempt) => againAfterMs(attempt, 50))).toEqual([
    100, 200, 400, 6_400, 10_000, 10_000,
  ]);
});

test('Temporal itself, which tries again after a missed heartbeat, waits no longer the more attempts there were', () => {
  expect(RETRY_SHIFT).toMatchObject({ initialInterval: 100, backoffCoefficient: 1 });
});

test('the error stays what it is; one that has a time of its own keeps it', () => {
  const away = failure(ErrorType.StoreUnavailable, 'away');
  expect(failedAttempt(away, 9, 20_000)).toBe(away);
  expect(away).toMatchObject({ type: 'StoreUnavailable', nextRetryDelay: 100 });
  const declined = failure(ErrorType.Declined, 'drained', { nextRetryDelay: 250 });
  expect(failedAttempt(declined, 9, 0)).toMatchObject({ type: 'Declined', nextRetryDelay: 250 });
  const own = failedAttempt(new RangeError('a bug'), 2, 0);
  expect(own).toBeInstanceOf(ApplicationFailure);
  expect(own).toMatchObject({ type: 'RangeError', message: 'a bug', nextRetryDelay: 200 });
  const cancelled = new CancelledFailure('ended');
  expect(failedAttempt(cancelled, 2, 0)).toBe(cancelled);
});
