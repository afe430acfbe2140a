/** Dead letters of buffers and of members, and the lives of members, as the API lists them. For `answers.ts`. */
import type { DeadDetails, DeadEntry } from '../../../client/buffer/dead';
import type { DeadLetter } from '../../../client/member/dead';
import type { MemberLife, MemberLifeDetails } from '../../../client/member/lives';
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

/** Three messages wait: the first one has failed, and two processes have ended while its handler was at work. */
export const lifeDetails = (id: string): MemberLifeDetails => ({
  ...life(3),
  tracker: 'characters',
  id,
  state: { said: ['hello'], here: 3 },
  stateVersion: 1,
  messages: Array.from({ length: 3 }, (_, i) => ({
    from: 'web-3',
    message: { say: `word ${i}` },
    bytes: 16,
    storedAt: at(3_000 - i),
    isRequest: false,
    attempts: i === 0 ? 4 : 0,
    error: i === 0 ? 'TypeError: rooms is not iterable' : null,
    notBefore: i === 0 ? at(-20_000) : null,
    strikes: i === 0 ? 2 : 0,
    trace: null,
  })),
  timers: [{ name: 'digest', at: at(-3_600_000), attempts: 0, strikes: 1, message: null }],
  struckValues: [],
  dead: 1,
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
