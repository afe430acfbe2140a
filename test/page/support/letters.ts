/** Dead letters of buffers and of members, and the lives of members, as the API lists them. For `answers.ts`. */
import type { DeadDetails, DeadEntry } from '../../../client/buffer/dead';
import type { DeadLetter } from '../../../client/member/dead';
import type { MemberLife } from '../../../client/member/lives';
import { at, MOMENT } from './samples';

export const memberId = (i: number): string => String(2_112_000_000 + i);

export const letter = (i: number): DeadEntry => ({
  id: `${i % 4}-${4_711 + i}`,
  value: { to: 2_112_000_000 + i, template: 'welcome', attempt: i },
  key: `to ${i}`,
  error: i % 3 === 0 ? 'SmtpError: 550 mailbox unavailable' : 'TimeoutError: no answer within 30 s',
  attempts: 5,
  diedAt: at(60_000 * (i + 1)),
  state: 'dead',
});

export const mailLetter = (i: number): DeadLetter => ({
  id: String(4_711 + i),
  member: memberId(i % 7),
  value: { say: 'hello', number: i },
  error: i % 3 === 0 ? 'TypeError: rooms is not iterable' : 'the handler took longer than 5s',
  attempts: 8,
  diedAt: at(60_000 * (i + 1)),
  from: i % 2 === 0 ? 'web-3' : 'characters/2112000001',
  replyTo: null,
  trace: null,
});

export const life = (i: number): MemberLife => ({
  id: memberId(i),
  version: 40 + i,
  stateBytes: 812 + i,
  writtenAt: at(42_000 + i),
  mail: { entries: i % 5, bytes: 300 * (i % 5), oldestAt: i % 5 === 0 ? null : at(1_200) },
  timers: i % 3,
});

export const letterDetails = (id: string): DeadDetails => ({
  ...letter(0),
  id,
  errors: Array.from({ length: 5 }, (_, i) => ({
    at: MOMENT - 600_000 + i * 60_000,
    error: 'SmtpError: 550 mailbox unavailable',
  })),
  op: null,
  note: null,
  changedAt: at(60_000),
});
