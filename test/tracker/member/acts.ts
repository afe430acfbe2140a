/** The acts of messages in the simulated world of members, and the bounds that it has. */
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';

/** A message has its handler do one of these. */
export const ACTS = [
  'plain',
  'plain',
  'plain',
  'forward',
  'forward',
  'self',
  'timer',
  'throws',
  'dies',
  'hangs',
  'grows',
  'cycle',
  'unstorable',
  'refused',
  'moves timer',
] as const;
/** The last one sets a timer that does. */
export const FATAL_ACTS = ['ends its process', 'ends it by a timer'] as const;
export const STEERED_ACTS = [...ACTS, 'cancels', 'moves timer', 'moves timer'] as const;
export type Act = (typeof STEERED_ACTS)[number] | (typeof FATAL_ACTS)[number];

/** Small, so that a history meets all of them. */
export const LIMITS: MemberLimits = {
  ...MEMBER,
  memberMail: { entries: 12, bytes: 4_000 },
  handlerMail: { entries: 20, bytes: 100_000 },
  memberMemory: { entries: 4, bytes: 1_500 },
  poolMemory: { entries: 10, bytes: 4_000 },
  readRows: 6,
  stateBytes: 50_000,
  attempts: 3,
  backoffMs: 100,
  backoffMaxMs: 400,
  commitTurns: 5,
  commitBytes: 2_000,
  ahead: { entries: 4, bytes: 4_000 },
  tableMs: 2_000,
  carryRows: 20,
};

/** A second or two are the day for which things are remembered. */
export const SHORT_LIMITS: MemberLimits = {
  ...LIMITS,
  tellAgainMs: 1_500,
  marksMs: 2_000,
  requestAgainMs: 700,
  repliesMs: 900,
};

/** A value whose `apply` ends its process. */
export const isFatal = (fetchedAt: number): boolean => fetchedAt % 11 === 0;
