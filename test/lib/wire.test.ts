/** Whatever an activity throws can be carried: held against the SDK's own converter and the bytes that it sends. */
import { CompleteAsyncError } from '@temporalio/activity';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  defaultFailureConverter,
  defaultPayloadConverter,
} from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { carried, wireError } from '../../activities/lib/wire';
import { errorOf } from '../../activities/lib/failures';
import { unstorable } from '../../workflows/lib/text';
import { pino } from 'pino';
import fc from 'fast-check';
import { histories } from '../support/simulate';

const { Failure } = temporal.api.failure.v1;

/** There and back, as bytes. */
function sent(thrown: unknown): { bytes: number; error: Error; delayMs: number } {
  const failure = defaultFailureConverter.errorToFailure(wireError(thrown), defaultPayloadConverter);
  const bytes = Failure.encode(failure).finish();
  // Half a surrogate pair is not UTF-8, which the server's side refuses; the encoder writes it all the same.
  for (const text of textsOf(failure)) if (unstorable(text)) throw new Error(`${JSON.stringify(text)} cannot be sent`);
  const delayMs = Number(failure.applicationFailureInfo?.nextRetryDelay?.seconds ?? NaN) * 1_000;
  return {
    bytes: bytes.length,
    delayMs,
    error: defaultFailureConverter.failureToError(Failure.decode(bytes), defaultPayloadConverter),
  };
}

/** Every text of a message of the protocol. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  return Object.values(value).flatMap(textsOf);
}

const chainOf = (error: Error): string[] => {
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) messages.push(at.message);
  return messages;
};

function circle(...names: string[]): Error {
  const errors = names.map((name) => new Error(name));
  errors.forEach((error, index) => (error.cause = errors[(index + 1) % errors.length]));
  return errors[0]!;
}

test('a cause that is itself, or comes round again, ends there', () => {
  expect(chainOf(sent(circle('a')).error)).toEqual(['a']);
  expect(chainOf(sent(circle('a', 'b')).error)).toEqual(['a', 'b']);
  expect(chainOf(sent(circle('a', 'b', 'c')).error)).toEqual(['a', 'b', 'c']);
});

test('a part that cannot be read, and throws an error that cannot be carried, is left out', () => {
  const failure = ApplicationFailure.create({ message: 'no', details: ['kept'] });
  for (const part of ['nonRetryable', 'category', 'nextRetryDelay']) {
    Object.defineProperty(failure, part, {
      get() {
        throw circle('round');
      },
    });
  }
  expect(sent(failure).error).toMatchObject({ message: 'no', nonRetryable: false, details: ['kept'] });
});

test('a chain of thousands is cut, a message of megabytes too', () => {
  let deep = new Error('0');
  for (let level = 1; level < 20_000; level++) deep = new Error(String(level), { cause: deep });
  expect(chainOf(sent(deep).error)).toEqual(['19999', '19998', '19997', '19996', '19995', '19994']);
  const long = sent(new Error('漢'.repeat(3_000_000)));
  expect(long.bytes).toBeLessThan(20_000);
});

test('what Temporal needs of an error stays: type, whether it is retried, when, details, causes', () => {
  const given = ApplicationFailure.create({
    type: 'Mine',
    message: 'no',
    nonRetryable: true,
    nextRetryDelay: '5s',
    details: [{ a: 1 }, 'b'],
    cause: new TypeError('why'),
  });
  const { error, delayMs } = sent(given);
  expect(error).toMatchObject({ type: 'Mine', message: 'no', nonRetryable: true, details: [{ a: 1 }, 'b'] });
  expect(delayMs).toBe(5_000);
  expect(error.cause).toMatchObject({ type: 'TypeError', message: 'why' });
  expect(sent(new RangeError('r')).error).toMatchObject({ type: 'RangeError', message: 'r', nonRetryable: false });
});

test('a cancellation stays one, and so does an end that comes later', () => {
  expect(wireError(new CancelledFailure('enough'))).toBeInstanceOf(CancelledFailure);
  expect(wireError(Object.assign(new Error('gone'), { name: 'AbortError' })).name).toBe('AbortError');
  const later = new CompleteAsyncError();
  expect(wireError(later)).toBe(later);
});

test('details that cannot be written are replaced, each by itself', () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const details = [1n, cycle, () => 1, Symbol('s'), { fine: true }, 'x'.repeat(100_000), 'after'];
  const { error } = sent(ApplicationFailure.create({ message: 'm', details }));
  const seen = (error as ApplicationFailure).details!;
  expect(seen).toHaveLength(details.length);
  expect(seen[4]).toEqual({ fine: true });
  for (const index of [0, 1, 2, 3, 5]) expect(seen[index]).toHaveProperty('omitted');
});

test('a type, a category and details as nobody should make them', () => {
  const odd = (parts: object): ApplicationFailure => Object.assign(ApplicationFailure.create({ message: 'm' }), parts);
  expect(sent(odd({ type: 'half \ud800' })).error).toMatchObject({ type: 'half \ufffd' });
  expect(sent(odd({ type: 't'.repeat(1_000_000) })).bytes).toBeLessThan(10_000);
  for (const category of ['SEVERE', 'toString', 7, {}]) {
    expect(sent(odd({ category })).error).toMatchObject({ message: 'm', category: undefined });
  }
  expect(sent(odd({ category: 'BENIGN' })).error).toMatchObject({ category: 'BENIGN' });
  // Nothing, a million times, is something.
  const many = sent(odd({ details: new Array(1_000_000).fill(undefined) }));
  expect(many.bytes).toBeLessThan(100_000);
  expect((many.error as ApplicationFailure).details!.at(-1)).toEqual({ omitted: '999900 more' });
  const unreadable = Object.defineProperty(['kept', 'x'], 1, {
    get() {
      throw circle('round');
    },
  });
  expect(sent(odd({ details: unreadable })).error).toMatchObject({ details: ['kept', undefined] });
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  expect(sent(odd({ details: proxy, nonRetryable: true })).error).toMatchObject({ nonRetryable: true, details: [] });
});

test('delays that are no times are left out', () => {
  for (const nextRetryDelay of [NaN, Infinity, -1, 'soon', 1e300, {}] as never[]) {
    expect(() => sent(ApplicationFailure.create({ message: 'm', nextRetryDelay }))).not.toThrow();
  }
});

const hostile: unknown[] = [
  undefined,
  null,
  0,
  1n,
  Symbol('s'),
  '\ud800',
  'text\0',
  {},
  [],
  Object.create(null),
  () => 1,
  Object.freeze(new Error('frozen')),
  Object.freeze(Object.assign(new Error('a'), { cause: Object.freeze(new Error('b')) })),
  Object.assign(new Error(), { message: { not: 'text' } }),
  Object.assign(new Error('m'), { name: 7, stack: { no: 1 }, cause: 'text' }),
  Object.assign(new Error('m'), { cause: { toString: 1 } }),
  Object.defineProperty(new Error('m'), 'message', {
    get: () => {
      throw new Error('unreadable');
    },
  }),
  Object.defineProperty(new Error('m'), 'cause', {
    get: () => {
      throw new Error('unreadable');
    },
  }),
  Object.assign(new Error('m'), { constructor: undefined }),
  new Error('\ud800'.repeat(5_000)),
  new AggregateError([circle('a')], 'many'),
  new ActivityFailure('of another', 'a', undefined, 'TIMEOUT', undefined, circle('x')),
  new Proxy(new Error('p'), {}),
  ((): unknown => {
    const { proxy, revoke } = Proxy.revocable(new Error('p'), {});
    revoke();
    return proxy;
  })(),
];

test('whatever is thrown', () => {
  for (const thrown of hostile) expect(() => sent(thrown)).not.toThrow();
});

test('whatever is thrown, in any chain', () => {
  const place = fc.nat(hostile.length - 1);
  fc.assert(
    fc.property(place, fc.array(fc.boolean(), { maxLength: 9 }), (last, links) => {
      const thrown = links.reduce<unknown>(
        (cause, plain) =>
          plain ? new Error('link', { cause }) : Object.assign(ApplicationFailure.create({ message: 'm' }), { cause }),
        hostile[last],
      );
      expect(sent(thrown).bytes).toBeLessThan(100_000);
    }),
    histories(),
  );
});

test('it can be logged too', () => {
  const log = pino({ level: 'info' }, { write: () => undefined });
  for (const thrown of hostile) expect(() => log.info({ err: errorOf(thrown) }, 'x')).not.toThrow();
  const frozen = errorOf(Object.freeze(Object.assign(new RangeError('f'), { code: '23505' })));
  expect(frozen).toBeInstanceOf(RangeError);
  expect(frozen).toMatchObject({ message: 'f', code: '23505' });
});

test('activities are carried under their names', async () => {
  const { good, bad } = carried({
    good: (value: number) => Promise.resolve(value + 1),
    bad: (): Promise<void> => Promise.reject(circle('a', 'b')),
  });
  expect(await good(1)).toBe(2);
  const error = await bad().catch((thrown: unknown) => thrown);
  expect(chainOf(error as Error)).toEqual(['a', 'b']);
  expect((error as Error).cause).not.toHaveProperty('cause.cause');
});
