/**
 * The errors of `send` and `request`, one class a cause, as in `client/errors.ts`. `accepted` says whether the message
 * is stored: `false`, it will never be handled; `'unknown'`, nobody has said.
 */
import { LongwatchError } from '../errors';

/** A message, or something beside it, that cannot be sent. Nothing was. */
export class InvalidMessageError extends LongwatchError {
  override readonly usage = true;
  readonly accepted = false;
}

/** Its definition has no `receive`. */
export class DoesNotReceiveError extends LongwatchError {
  override readonly usage = true;
  readonly accepted = false;
  constructor(readonly tracker: string) {
    super(
      `the members of '${tracker}' take no messages: its definition has no \`receive\`. ` +
        `Write one, and hand it over with: npx longwatch start ${tracker} --update`,
    );
  }
}

/** Only the definition's `route` says where its members are, and this program has not given it. */
export class PlacedByRouteError extends LongwatchError {
  override readonly usage = true;
  readonly accepted = false;
  constructor(
    readonly tracker: string,
    cause: unknown,
  ) {
    super(
      `the members of '${tracker}' are placed by its definition's route, which this program does not know: ` +
        'get the handle by the definition, longwatch.tracker(definition), or give --config (to longwatch dashboard as well)',
      { cause },
    );
  }
}

/** It was told again so late that nobody knows any more whether it was handled. */
export class TooOldError extends LongwatchError {
  readonly accepted: false | 'unknown';
  constructor(text: string, accepted: false | 'unknown' = 'unknown') {
    super(text);
    this.accepted = accepted;
  }
}

/** The mailbox of the member, or of its whole pool, had no room in time, or this process has too much that waits. */
export class MailboxFullError extends LongwatchError {
  readonly accepted = false;
  /** @param pool where it is the pool that has no room */
  constructor(
    readonly tracker: string,
    readonly member: string,
    why = 'had no room in time',
    readonly pool?: number,
  ) {
    super(
      pool === undefined
        ? `the mailbox of '${member}' of '${tracker}' ${why}; the message was not accepted. ` +
            `Send it again later, or see what holds it: npx longwatch member show ${tracker} ${member}`
        : `pool ${pool} of '${tracker}' ${why}; the message to '${member}' was not accepted. ` +
            `Send it again later, or see whether its nodes keep up: npx longwatch pools ${tracker}`,
    );
  }
}

/** The database did not say in time whether it has the message. */
export class SendUnansweredError extends LongwatchError {
  readonly accepted = 'unknown';
  constructor(tracker: string, member: string, cause?: unknown) {
    super(
      `it is not known whether the message to '${member}' of '${tracker}' was accepted: PostgreSQL did not answer`,
      {
        cause,
      },
    );
  }
}

/** A request that has no reply in time. A handler that had begun goes on; one that had not drops it. */
export class RequestTimedOutError extends LongwatchError {
  readonly accepted: true | 'unknown';
  constructor(text: string, accepted: true | 'unknown' = true) {
    super(text);
    this.accepted = accepted;
  }
}

/** The handler has thrown, or its reply cannot be said. The message of the error is the handler's. */
export class HandlerFailedError extends LongwatchError {
  readonly accepted = true;
}

/** The member was removed before it has handled the request. */
export class MemberRemovedError extends LongwatchError {
  readonly accepted = true;
}
