/**
 * One member of a tracker, from outside: what is sent to it. Got from `TrackerHandle.member`; used by programs, by
 * activities, and by `longwatch send` and `request`. A letter (`letter.ts`) goes to the tracker's sender, which the
 * whole program shares (`post.ts`).
 */
import type { MessageOf, Receiver, ReplyOf } from '../../config/define/member';
import type { CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { NotTrackedError, type LongwatchError } from '../errors';
import { RequestTimedOutError, SendUnansweredError } from './errors';
import { letterOf, type RequestOptions, type SendOptions } from './letter';
import { readLife, reloadLife, type MemberLifeDetails } from './lives';
import type { Post } from './post';
import { valueOf } from './replies';

export class MemberHandle<T extends Receiver = Receiver> {
  constructor(
    readonly tracker: string,
    readonly id: string,
    private readonly post: Post,
    private readonly connections: Connections,
    /** Refuses where there is no such tracker. */
    private readonly known: () => Promise<unknown>,
  ) {}

  /**
   * Resolves when the message is stored: it will be handled, once, by the node that keeps the member, in the order of
   * these calls. A member that is not there is made by its first message.
   * @throws InvalidMessageError, InvalidIdError, UnknownTrackerError, DoesNotReceiveError, TrackerStoppedError: it was
   *   not sent; MailboxFullError, DatabaseUnavailableError: it was not accepted in time; SendUnansweredError: it is not
   *   known whether it was; TooOldError; the reason of the signal
   */
  async send(message: MessageOf<T>, options: SendOptions = {}): Promise<void> {
    const letter = letterOf(this, message, options);
    await this.post.track(this.post.sender(this.tracker).send(letter, options.signal));
  }

  /**
   * Resolves with what the handler replies, when its turn is committed; null where it does not reply.
   * @throws as `send`; HandlerFailedError with the handler's words; MemberRemovedError; RequestTimedOutError: a handler
   *   that has begun by then goes on
   */
  request(message: MessageOf<T>, options: RequestOptions = {}): Promise<ReplyOf<T>> {
    return this.post.track(this.ask(message, options));
  }

  /**
   * Its state, and what waits for it. @throws NotTrackedError where there is nothing; UnknownTrackerError;
   * PlacedByRouteError where it has had no turn, and this program does not know the route by which its mail lies
   */
  async show(): Promise<MemberLifeDetails> {
    await this.known();
    const life = await readLife(this.connections, this.tracker, this.id);
    if (!life) throw new NotTrackedError(this.tracker, this.id);
    return life;
  }

  /**
   * The node that has it in memory reads its state anew, with its next turn: for who has changed the row by hand.
   * @throws NotTrackedError, UnknownTrackerError
   */
  async reload(options: CommandOptions = {}): Promise<{ version: number }> {
    await this.known();
    return reloadLife(this.connections, this.tracker, this.id, options);
  }

  private async ask(message: unknown, options: RequestOptions): Promise<unknown> {
    const { replies } = this.post;
    const request = replies.next();
    const letter = letterOf(this, message, options, { id: request });
    const sender = this.post.sender(this.tracker);
    const { reply, stored, end } = replies.await({ tracker: this.tracker, member: this.id, request });
    const limit = this.limitOf(letter.timeoutMs, options.signal);
    try {
      const sent = sender.send(letter, options.signal).then(stored);
      // Its reply may be heard of before the answer that it is stored.
      const row = await Promise.race([reply, limit.over, sent.then(() => reply)]);
      return valueOf(row);
    } catch (error) {
      throw error instanceof SendUnansweredError ? this.timedOut(letter.timeoutMs, 'unknown', error) : error;
    } finally {
      limit.end();
      end();
    }
  }

  /** Fails when the time is over, a moment after the sender would say that it could not send it. */
  private limitOf(timeoutMs: number, signal?: AbortSignal): { over: Promise<never>; end: () => void } {
    let timer: NodeJS.Timeout;
    let onAbort: () => void;
    const over = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.timedOut(timeoutMs, true)), timeoutMs + 1);
      onAbort = () => reject(signal!.reason as Error);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
    over.catch(() => undefined);
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    return { over, end };
  }

  private timedOut(timeoutMs: number, accepted: true | 'unknown', cause?: LongwatchError): RequestTimedOutError {
    const what =
      accepted === true
        ? 'the message was accepted; a handler that has begun goes on, one that has not drops it'
        : 'whether the message was accepted is not known';
    const error = new RequestTimedOutError(
      `'${this.id}' of '${this.tracker}' has not replied within ${timeoutMs} ms; ${what}`,
      accepted,
    );
    if (cause) error.cause = cause;
    return error;
  }
}
