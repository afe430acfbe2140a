/**
 * The requests of one program that wait for a reply: told by NOTIFY which have one, and looking each second by itself.
 * Made by `post.ts`. A reply is read once and not deleted: nodes forget it some minutes later.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { replyNoticeOf } from '../../activities/tracker/store/mail-notices';
import { HandlerFailedError, MemberRemovedError, RequestTimedOutError, TooOldError } from './errors';

/** Each second, as nodes do. Milliseconds. */
const LOOK_MS = 1_000;
/** The keys that one reading asks for. */
const KEYS = 1_000;
/** The replies that it returns: one may have a megabyte. */
export const ROWS = 100;

/** A request as its reply is found. */
export interface Asked {
  readonly tracker: string;
  readonly member: string;
  readonly request: string;
}

export interface ReplyRow {
  readonly request: string;
  readonly json: string | null;
  readonly error: string | null;
  readonly message: string | null;
}

export interface ReplyStore {
  /** At most `ROWS` of the replies that are there. */
  read(asked: readonly Asked[]): Promise<ReplyRow[]>;
  /** From now on this program hears of its replies. Harmless twice. */
  listen(heard: (payload: string | undefined) => void): void;
}

interface Waiting extends Asked {
  readonly done: (row: ReplyRow) => void;
  /** The request is stored: there may be a reply. */
  isStored: boolean;
}

export class Replies {
  /** This program hears of its replies under this name. */
  readonly client = randomUUID();
  private readonly waiting = new Map<string, Waiting>();
  private due = new Set<string>();
  private looking = false;
  private timer: NodeJS.Timeout | undefined;
  private numbers = 0;

  constructor(
    private readonly store: ReplyStore,
    private readonly log: Pick<Logger, 'debug'>,
  ) {}

  /** An id for a request. */
  next(): string {
    return `${this.client}.${++this.numbers}`;
  }

  /** To be called before the request can be stored. @returns its reply, and what to call when it is stored, and over */
  await(asked: Asked): { reply: Promise<ReplyRow>; stored: () => void; end: () => void } {
    this.store.listen((payload) => this.heard(payload));
    this.timer ??= setInterval(() => this.lookForAll(), LOOK_MS);
    const { request } = asked;
    let waiting: Waiting;
    const reply = new Promise<ReplyRow>((done) =>
      this.waiting.set(request, (waiting = { ...asked, done, isStored: false })),
    );
    return { reply, stored: () => (waiting.isStored = true), end: () => this.end(request) };
  }

  private end(request: string): void {
    this.waiting.delete(request);
    if (this.waiting.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private heard(payload: string | undefined): void {
    const notice = replyNoticeOf(payload);
    if (!notice) return this.lookForAll();
    for (const request of notice.requests) if (this.waiting.has(request)) this.due.add(request);
    void this.look();
  }

  private lookForAll(): void {
    for (const { request, isStored } of this.waiting.values()) if (isStored) this.due.add(request);
    void this.look();
  }

  /** One reading after another; what is heard of meanwhile is in the next one. */
  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      while (this.due.size > 0) {
        const ids = [...this.due].slice(0, KEYS);
        const asked = ids.flatMap((id) => this.waiting.get(id) ?? []);
        const rows = asked.length === 0 ? [] : await this.store.read(asked);
        for (const row of rows) this.waiting.get(row.request)?.done(row);
        // There may be more replies than it returned.
        for (const id of rows.length < ROWS ? ids : rows.map(({ request }) => request)) this.due.delete(id);
      }
    } catch (error) {
      this.due.clear();
      this.log.debug({ err: error }, 'replies could not be read; the next look is in a second');
    } finally {
      this.looking = false;
    }
  }
}

/** @throws the failure that was given in place of a reply */
export function valueOf({ json, error, message }: ReplyRow): unknown {
  if (error === null) return JSON.parse(json ?? 'null');
  const text = message ?? error;
  if (error === 'TooOld') throw new TooOldError(text);
  if (error === 'RequestTimedOut') throw new RequestTimedOutError(text);
  if (error === 'Removed') throw new MemberRemovedError(text);
  throw new HandlerFailedError(text);
}
