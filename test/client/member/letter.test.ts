/** Letters: their parts, and each refusal of what cannot be sent, in words. */
import { letterOf } from '../../../client/member/letter';
import { InvalidIdError } from '../../../client/errors';
import { InvalidMessageError } from '../../../client/member/errors';

const TO = { tracker: 'rooms', id: 'lobby' };
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const circular: Record<string, unknown> = {};
circular.self = circular;

test('a letter has the message as JSON, its bytes, and what was said beside it', () => {
  expect(letterOf(TO, { say: 'ж' }, { replyTo: 'hall', requestId: 'r-1', traceparent: TRACE, timeout: '2s' })).toEqual({
    member: 'lobby',
    json: '{"say":"ж"}',
    bytes: 12,
    replyTo: { tracker: 'rooms', id: 'hall' },
    trace: { requestId: 'r-1', traceparent: TRACE },
    timeoutMs: 2_000,
  });
  expect(letterOf(TO, null, { replyTo: { tracker: 'users', id: 'u1' } }, { id: 'q' })).toEqual({
    ...{ member: 'lobby', json: 'null', bytes: 4, replyTo: { tracker: 'users', id: 'u1' }, request: { id: 'q' } },
    timeoutMs: 5_000,
  });
});

test.each([
  [undefined, 'the message is undefined, which JSON cannot say'],
  [() => 1, 'the message is function, which JSON cannot say'],
  [circular, /^the message cannot be written as JSON: /],
  [1n, /^the message cannot be written as JSON: /],
  ['x'.repeat(1024 * 1024), 'the message has 1048578 bytes of JSON; 1048576 are the limit'],
  ['ж'.repeat(600_000), 'the message has 1200002 bytes of JSON; 1048576 are the limit'],
])('message %#: refused', (message, text) => {
  expect(() => letterOf(TO, message, {})).toThrow(InvalidMessageError);
  expect(() => letterOf(TO, message, {})).toThrow(text);
});

test.each([
  [{ requestId: 'a\0b' }, 'requestId has a NUL character'],
  [{ requestId: '\ud800' }, 'requestId has half of a surrogate pair, which UTF-8 cannot say'],
  [{ requestId: 'ж'.repeat(101) }, 'requestId has 202 bytes; at most 200 can be used'],
  [{ traceparent: 'x' }, "traceparent 'x' is not one of W3C: 00-<32 hex>-<16 hex>-<2 hex>"],
  [{ traceparent: TRACE.toUpperCase() }, /is not one of W3C/],
  [{ traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }, /is not one of W3C/],
  [{ replyTo: '' }, 'replyTo: the id is empty'],
  [{ replyTo: { tracker: 'No such', id: 'a' } }, "replyTo: 'No such' is not the name of a tracker"],
  [{ timeout: 0 }, "timeout: '0' is not a duration from 1ms to 1d"],
  [{ timeout: NaN }, "timeout: 'NaN' is not a duration from 1ms to 1d"],
  [{ timeout: 'soon' }, "timeout: 'soon' is not a duration from 1ms to 1d"],
  [{ timeout: '2d' }, "timeout: '2d' is not a duration from 1ms to 1d"],
])('%j: refused', (options, text) => {
  expect(() => letterOf(TO, 1, options)).toThrow(InvalidMessageError);
  expect(() => letterOf(TO, 1, options)).toThrow(text);
});

test('a request waits for five minutes at most: past that its repetition would be refused', () => {
  expect(() => letterOf(TO, 1, { timeout: '6m' }, { id: 'q' })).toThrow(
    "timeout: '6m' is not a duration from 1ms to 5m",
  );
});

test.each(['', 'a\nb', '\ud800', 'x'.repeat(201)])('the id %j: refused', (id) => {
  expect(() => letterOf({ tracker: 'rooms', id }, 1, {})).toThrow(InvalidIdError);
});
