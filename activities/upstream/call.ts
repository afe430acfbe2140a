/**
 * One request on its way: undici's callbacks in, one `Answer` or one error out. It is a dispatch handler rather
 * than `pool.request`, which would make a stream for every body. Created by `http.ts`.
 */
import type { Client, Dispatcher } from 'undici';
import type { Connections, Lane, Sendable } from './connections';
import type { DeadlineList, Deadlined } from './deadlines';
import { Answer, KEPT_OF_A_REFUSAL, Received, Reply } from './answer';
import { BodyError, textOf } from './body';
import { boundedHold, HoldError, LONGEST_HOLD_MS } from '../../config/define/errors';
import { UpstreamError, type UpstreamFailure } from './errors';
import { freshForMs } from './freshness';
import { SeenHeaders } from './headers';
import { askedHoldMs } from './refusal';
import type { Permit } from './spending';

/** The verdict of `judge` on an answer: a hold, none, or nothing (then Longwatch decides). */
export type Judgement = { afterMs?: number; scope?: HoldError['scope'] } | false | undefined;

/** The settings of its upstream that a call needs. */
export interface CallSettings {
  readonly maxBodyBytes: number;
  readonly defaultHoldMs: number;
  holdScope(answer: { status: number; path: string }): HoldError['scope'];
  readonly judge: ((answer: Received) => Judgement) | undefined;
}

/** The path for people: without the query, and without segments that may be keys. */
export function describe(method: string, path: string): string {
  if (!path.startsWith('/')) return method;
  const bare = path.split(/[?#]/, 1)[0]!;
  const masked = bare.replace(/[^/]{20,}/g, (part) => (/^\d+$/.test(part) ? part : '…'));
  return `${method} ${masked.slice(0, 200)}`;
}

/** A request whose right to send has ended comes again after this; its bucket says whether it may. */
const UNSENT_MS = 1_000;

export class Call implements Sendable, Deadlined {
  previous: Deadlined | undefined = undefined;
  next: Deadlined | undefined = undefined;
  deadline = 0;
  connection: Client | undefined = undefined;
  lane: Lane | undefined = undefined;
  waits = false;
  ahead: Sendable | undefined = undefined;
  behind: Sendable | undefined = undefined;
  /** The right to send it, where limits are kept; undefined again once it is given back. */
  permit: Permit | undefined = undefined;
  /** It has ended, whatever undici still says. */
  private settled = false;
  private status = 0;
  private raw: Buffer[] = [];
  private first: Buffer | undefined = undefined;
  private rest: Buffer[] | undefined = undefined;
  private bytes = 0;
  private abort: ((error?: Error) => void) | undefined = undefined;

  constructor(
    readonly request: Dispatcher.DispatchOptions,
    readonly laneName: string,
    private readonly parse: (text: string) => unknown,
    private readonly connections: Connections,
    private readonly settings: CallSettings,
    private readonly deadlines: DeadlineList,
    private readonly signal: AbortSignal | undefined,
    private readonly resolve: (answer: Answer<unknown>) => void,
    private readonly reject: (error: Error) => void,
  ) {}

  // ── undici's side ──────────────────────────────────────────────────────────────────────────

  onConnect(abort: (error?: Error) => void): void {
    // It timed out while its connection was made: undici drops it here, before it is sent.
    if (this.settled) abort();
    else if (this.permit !== undefined && !this.permit.maySend) {
      this.holdUnsent();
      abort();
    } else this.abort = abort;
  }

  onHeaders(status: number, raw: Buffer[]): boolean {
    if (status < 200) return true;
    this.status = status;
    this.raw = raw;
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    if (this.bytes > this.settings.maxBodyBytes) {
      if (this.status >= 200 && this.status < 300) {
        this.fail('too large', `a body of more than ${this.settings.maxBodyBytes} bytes`, false);
      } else {
        this.refuse();
      }
      return false;
    }
    // The body of a refusal is read to its end so that its connection can be used again; its beginning is kept.
    if (this.status >= 300 && this.bytes - chunk.length >= KEPT_OF_A_REFUSAL) return true;
    if (this.first === undefined) this.first = chunk;
    else (this.rest ??= []).push(chunk);
    return true;
  }

  onComplete(): void {
    if (!this.settled) this.finish();
    this.release();
  }

  private finish(): void {
    const { status, raw, settings } = this;
    if ((status < 200 || status >= 300) && status !== 304) {
      this.refuse();
      return;
    }
    const headers = new SeenHeaders(raw);
    let text = '';
    let body: unknown = status === 304 ? undefined : null;
    let problem: BodyError | undefined;
    if (status !== 304 && this.first !== undefined) {
      try {
        text = textOf(this.content(), headers, settings.maxBodyBytes);
        if (/\S/.test(text)) body = this.parse(text);
      } catch (error) {
        // Without the parser's message: it quotes the body.
        problem = error instanceof BodyError ? error : new BodyError('garbage', 'a body that is not JSON');
      }
    }
    if (settings.judge !== undefined && status !== 304 && this.judged(this.received(undefined))) return;
    this.report(body);
    if (problem !== undefined) {
      this.fail(problem.failure, problem.message, problem.failure === 'garbage');
      return;
    }
    const now = Date.now();
    const fresh = freshForMs(headers, now);
    this.settle();
    const expiresAt = fresh === undefined ? undefined : now + fresh;
    this.resolve(new Answer(status, status === 304, body, headers.etag, expiresAt, raw, text));
  }

  onError(error: Error): void {
    if (!this.settled) this.failSending(error);
    this.release();
  }

  /** Once: undici calls either `onComplete` or `onError`, and nothing after it. */
  private release(): void {
    this.connections.release(this);
  }

  private failSending(error: Error): void {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'UND_ERR_INVALID_ARG') this.refuseToSend();
    else if (code === 'UND_ERR_CLOSED' || code === 'UND_ERR_DESTROYED')
      this.fail('aborted', 'the client was closed', true);
    else if (code === 'UND_ERR_CONNECT_TIMEOUT') this.fail('timeout', 'no connection in time', true);
    else this.fail('closed', `the connection failed (${/^[A-Z_0-9]+$/.test(code) ? code : error.name})`, true);
  }

  // ── The caller's side ──────────────────────────────────────────────────────────────────────

  /** Ends with the caller's signal. @returns false: that has fired since, and it is over */
  listen(): boolean {
    if (this.signal === undefined) return true;
    this.signal.addEventListener('abort', this);
    if (this.signal.aborted) this.handleEvent();
    return !this.settled;
  }

  refuseToSend(): void {
    this.fail('request', 'it cannot be sent (a bad path or header)', false);
  }

  /** Called by the deadline list. */
  expire(): void {
    this.fail('timeout', `no answer within ${this.deadlines.timeoutMs} ms`, true);
  }

  /** The listener of the caller's signal. */
  handleEvent(): void {
    this.fail('aborted', 'aborted', true);
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────

  private content(): Buffer {
    if (this.first === undefined) return Buffer.alloc(0);
    return this.rest === undefined ? this.first : Buffer.concat([this.first, ...this.rest]);
  }

  private received(holdMs: number | undefined): Received {
    return new Received(this.status, this.request.path, holdMs, this.raw, this.content(), this.settings.maxBodyBytes);
  }

  /** Asks the user's `judge`. @returns true: it is settled. */
  private judged(received: Received): boolean {
    let judgement: Judgement;
    try {
      judgement = this.settings.judge!(received);
    } catch (thrown) {
      // Its own error goes to the operation: an answer that nobody could judge does not count as one.
      this.end(thrown instanceof Error ? thrown : new Error('judge threw something that is not an error'));
      return true;
    }
    if (typeof judgement === 'object' && judgement !== null) {
      this.hold(judgement.afterMs ?? received.holdMs ?? this.settings.defaultHoldMs, judgement.scope);
      return true;
    }
    if (received.holdMs !== undefined && judgement !== false) {
      this.hold(received.holdMs, undefined);
      return true;
    }
    return false;
  }

  private hold(afterMs: number, scope: HoldError['scope'] | undefined): void {
    const { status, settings } = this;
    const { method, path } = this.request;
    const end = (isTaken: boolean): void => {
      const error = new HoldError('', {
        afterMs,
        scope: scope ?? (isTaken ? 'member' : settings.holdScope({ status, path })),
      });
      const seconds = Math.ceil(error.afterMs / 1_000);
      error.message = `${describe(method, path)}: answered ${status}, to be left alone for ${seconds} s`;
      this.end(error);
    };
    // A bucket that takes the refusal for its own holds whom it concerns, on all nodes: nobody else has to be.
    const { permit } = this;
    const isTaken = this.report(undefined, boundedHold(afterMs, LONGEST_HOLD_MS));
    if (permit?.judged) void permit.judged.then(end);
    else end(isTaken);
  }

  /** While it waited for its connection its bucket was closed, or the process stood still for too long. */
  private holdUnsent(): void {
    const what = describe(this.request.method, this.request.path);
    const error = new HoldError(`${what}: its right to send ended before it was sent`, {
      afterMs: UNSENT_MS,
      scope: 'member',
    });
    this.end(error);
  }

  /** An answer that is neither 2xx nor 304: a hold where the upstream asks for one, else an error. */
  private refuse(): void {
    const { status, raw, settings } = this;
    const asked = askedHoldMs(status, raw, Date.now(), settings.defaultHoldMs);
    const received = this.received(asked);
    if (settings.judge !== undefined) {
      if (this.judged(received)) return;
    } else if (asked !== undefined) {
      this.hold(asked, undefined);
      return;
    }
    // A limit's refusal that `judge` takes for none may succeed later all the same.
    const retryable = status >= 500 || status === 408 || status === 425 || status === 429 || status === 420;
    this.fail('status', `answered ${status}`, retryable, received);
  }

  private fail(failure: UpstreamFailure, text: string, retryable: boolean, received?: Received): void {
    const message = `${describe(this.request.method, this.request.path)}: ${text}`;
    this.end(new UpstreamError(message, { failure, status: this.status, retryable, ...(received && { received }) }));
  }

  private end(error: Error): void {
    if (this.settled) return;
    this.settle();
    this.reject(error);
    // Ends the connection too, if the answer is still on its way; does nothing once it is complete.
    this.abort?.();
  }

  /** Tells the limits what was answered. @param body as it was parsed; undefined: it is parsed where somebody asks */
  private report(body: unknown, refusedForMs?: number): boolean {
    const { permit } = this;
    if (permit === undefined) return false;
    this.permit = undefined;
    const content = body === undefined ? this.received(undefined) : { body };
    return permit.report(new Reply(this.status, this.raw, content, refusedForMs));
  }

  /**
   * Gives back the permit that was not told yet. Without an answer it counts as spent, unless no connection ever took
   * it.
   */
  private giveBack(): void {
    const { permit } = this;
    if (permit === undefined) return;
    if (this.status >= 200) {
      this.report(undefined);
      return;
    }
    this.permit = undefined;
    if (this.abort === undefined) permit.release();
    else permit.lose();
  }

  private settle(): void {
    this.settled = true;
    this.giveBack();
    this.first = undefined;
    this.rest = undefined;
    this.deadlines.remove(this);
    if (this.waits) this.connections.forget(this);
    this.signal?.removeEventListener('abort', this);
  }
}
