/**
 * Every figure of members with a life, in one place, each with its reason. The other files read them from a
 * `MemberLimits`, so that a test may make its world small.
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MB = 1024 * 1024;

export interface Size {
  readonly entries: number;
  readonly bytes: number;
}

export interface MemberLimits {
  /** A sender may tell a message again for so long. Milliseconds, as all below. */
  readonly tellAgainMs: number;
  /** A member keeps the last number of each sender for this long: an hour more, since clocks are not alike. */
  readonly marksMs: number;
  /** A request may be told again for so long, and its reply is kept a little longer. */
  readonly requestAgainMs: number;
  readonly repliesMs: number;
  /** A gap in a sender's numbers ends with the next reading of the mail, which comes as often as this. */
  readonly readMs: number;
  /**
   * Senders whose numbers a member keeps, those heard of last: a row with all of a day's would be written each turn.
   */
  readonly senders: number;
  /** Ranges below the last number that a mark remembers as missing; past it, the oldest are forgotten. */
  readonly missing: number;
  /** One member's mail in the tables; past it, senders are told to wait. */
  readonly memberMail: Size;
  /** The same for a pool: as it is counted each second (`store/mail-full.ts`), so what comes meanwhile is taken. */
  readonly poolMail: Size;
  /**
   * A handler may send to a member until it has this, and into a pool until it has the other: it cannot wait, and a
   * turn that fails is tried again.
   */
  readonly handlerMail: Size;
  readonly handlerPoolMail: Size;
  /** The part of it that a node has in memory at a time; the rest stays in the tables. */
  readonly memberMemory: Size;
  readonly poolMemory: Size;
  /** Rows of one reading. */
  readonly readRows: number;
  /** Their bytes of JSON, or one row that is larger: a node has all of a reading in memory at once. */
  readonly readBytes: number;
  /** How long a sender that must wait is told to. */
  readonly waitMs: number;
  /** One message, one state, one reply: more is refused, or is a failure of the handler. Bytes of JSON. */
  readonly messageBytes: number;
  readonly stateBytes: number;
  readonly replyBytes: number;
  /**
   * One turn sends, pushes, writes and sets no more rows and bytes of JSON than this; a member has so many timers.
   */
  readonly turnRows: number;
  readonly turnBytes: number;
  readonly timers: number;
  /** The longest time that `after` takes. */
  readonly timerMs: number;
  /** A message is dead after this many failures. */
  readonly attempts: number;
  /** A message is dead when it was being handled while this many processes ended, one keeper after another. */
  readonly strikes: number;
  /** A suspect that is at work for so long has not ended its process, and the next one need not wait for it. */
  readonly suspectMs: number;
  /** The wait after the first failure; it doubles up to the longest. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** One commit: this many turns and bytes, or one turn that is larger. */
  readonly commitTurns: number;
  readonly commitBytes: number;
  /** A member's turns that have ended and are not committed; past it, it has no new one. */
  readonly ahead: Size;
  /** Rows of values in one transaction while turns wait: so a turn waits 3 ms for it and not 30. */
  readonly valueRows: number;
  /** A mail table takes new mail for this long, then the next one does. */
  readonly tableMs: number;
  /** Rows that are carried over to the table of today, so that an old one can be emptied. */
  readonly carryRows: number;
}

export const MEMBER: MemberLimits = {
  tellAgainMs: DAY,
  marksMs: DAY + HOUR,
  requestAgainMs: 10 * MINUTE,
  repliesMs: 11 * MINUTE,
  readMs: SECOND,
  senders: 500,
  missing: 100,
  memberMail: { entries: 1_000, bytes: 4 * MB },
  poolMail: { entries: 50_000, bytes: 64 * MB },
  handlerMail: { entries: 10_000, bytes: 40 * MB },
  handlerPoolMail: { entries: 200_000, bytes: 256 * MB },
  memberMemory: { entries: 200, bytes: MB },
  poolMemory: { entries: 5_000, bytes: 16 * MB },
  readRows: 1_000,
  readBytes: 16 * MB,
  waitMs: 200,
  messageBytes: MB,
  stateBytes: 4 * MB,
  replyBytes: MB,
  turnRows: 1_000,
  turnBytes: 4 * MB,
  timers: 100,
  timerMs: 366 * DAY,
  attempts: 8,
  strikes: 3,
  suspectMs: 10 * SECOND,
  backoffMs: SECOND,
  backoffMaxMs: MINUTE,
  commitTurns: 256,
  commitBytes: MB,
  ahead: { entries: 64, bytes: MB },
  valueRows: 500,
  tableMs: MINUTE,
  carryRows: 1_000,
};
