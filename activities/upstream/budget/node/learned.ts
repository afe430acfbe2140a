/**
 * Keys that are made of an answer's header are learned once for all nodes: a node reads them when it starts, and again
 * while it does not know which bucket a request spends from; it writes those that it has learned. One node at a time
 * asks for what nobody knows (`first-asks.ts`). Made by `index.ts` of this folder.
 */
import type { Logger } from 'pino';
import type { Database, Queryable } from '../../../lib/database';
import { errorOf } from '../../../lib/failures';
import { Background } from '../../../lib/service';
import { isPassing } from '../../../lib/sqlstate';
import { claimQuestions, readHeaders, unclaimQuestions, writeHeaders } from '../../store/headers';
import type { Clocks } from '../ticket';
import type { Book, LearnedHeader } from './book';
import { CLAIM, FirstAsks, type Question } from './first-asks';

const LOOK_MS = 1_000;
/** A node that freezes within one keeps the others from asking no longer than that. */
const LIMITS = { statementTimeoutMs: 2_000, lockTimeoutMs: 500, idleTimeoutMs: 1_500 };
/** A value that no key is made of: it is not kept. */
const LONGEST = 200;
const LONGEST_KIND = 2 * LONGEST;

export class LearnedHeaders extends Background {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  /** The questions that this node may ask. */
  readonly asks: FirstAsks;

  constructor(
    private readonly database: Database,
    private readonly host: { readonly known: Iterable<Book> },
    private readonly log: Logger,
    /** A name of this process that no other has. */
    private readonly node: { name: string; clocks: Clocks },
  ) {
    super();
    // One that is under way may have read before this was wanted.
    this.asks = new FirstAsks(node.clocks, () => void Promise.resolve(this.looking).then(() => this.look(false)));
  }

  /** Before anything is sent. Without the database nobody asks. */
  protected async open(): Promise<void> {
    await this.look(true);
    this.timer = setInterval(() => {
      // They want to ask, if nobody has for a while.
      for (const book of this.host.known) if (book.isAsking) book.stirProbes();
      void this.look(false);
    }, LOOK_MS);
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    this.asks.close();
    await this.looking;
    await this.look(false);
    const names = [...this.host.known].map(({ upstream }) => upstream.name);
    const unclaim = this.database.transaction((db) => unclaimQuestions(db, names, this.node.name), LIMITS);
    // Else they are somebody else's in some seconds.
    await unclaim.catch((thrown: unknown) => this.log.debug({ err: errorOf(thrown) }, 'questions are not given back'));
  }

  /** Never rejects. */
  look(isStart: boolean): Promise<void> {
    this.looking ??= this.once(isStart)
      .catch((thrown: unknown) => {
        this.log.debug({ err: errorOf(thrown) }, 'headers that keys are made of cannot be shared now');
      })
      .finally(() => (this.looking = undefined));
    return this.looking;
  }

  private async once(isStart: boolean): Promise<void> {
    const books = [...this.host.known];
    await this.tell(books);
    if (!this.isStopping) await this.claim(books);
    const asking = books.filter((book) => isStart || book.isAsking);
    if (asking.length === 0) return;
    const names = asking.map(({ upstream }) => upstream.name);
    const learned = await this.database.transaction((db) => readHeaders(db, names), LIMITS);
    for (const book of asking) book.adopt(learned.filter(({ upstream }) => upstream === book.upstream.name));
  }

  /** Questions that nobody else asks now are this node's. */
  private async claim(books: readonly Book[]): Promise<void> {
    const wanted = this.asks.takeWanted();
    if (wanted.length === 0) return;
    const asked = this.asks.now();
    const odd = wanted.filter(({ kind }) => kind.length > LONGEST_KIND);
    const shared = wanted.filter(({ kind }) => kind.length <= LONGEST_KIND);
    const refused: Question[] = [];
    const mine = await this.allOrEach(shared, (some, db) => claimQuestions(db, some, this.node.name, CLAIM), refused);
    // Each node asks by itself for what PostgreSQL does not take.
    const granted = [...odd, ...refused, ...mine.flat()];
    this.asks.granted(granted, asked);
    for (const book of books) if (granted.some(({ upstream }) => upstream === book.upstream.name)) book.stirProbes();
  }

  private async tell(books: readonly Book[]): Promise<void> {
    const all = books.map((book) => ({ book, untold: book.takeUntold() }));
    const untold = latest(all.flatMap((one) => one.untold));
    try {
      // A thing that PostgreSQL does not take is not told again: each node learns it by itself.
      await this.allOrEach(untold, (some, db) => writeHeaders(db, some), []);
    } catch (thrown) {
      for (const one of all) one.book.putBack(one.untold);
      throw thrown;
    }
  }

  /**
   * Does it with all of them together; where PostgreSQL does not take one of them, with each by itself.
   * @param refused gets those that it does not take
   * @throws what may pass: an outage, somebody's lock, a conflict
   */
  private async allOrEach<T, R>(
    all: readonly T[],
    what: (some: readonly T[], db: Queryable) => Promise<R>,
    refused: T[],
  ): Promise<R[]> {
    if (all.length === 0) return [];
    try {
      return [await this.database.transaction((db) => what(all, db), LIMITS)];
    } catch (thrown) {
      if (isPassing(thrown)) throw thrown;
      if (all.length === 1) {
        refused.push(all[0]!);
        return [];
      }
    }
    const results: R[] = [];
    for (const one of all) results.push(...(await this.allOrEach([one], what, refused)));
    return results;
  }
}

/** The last one of each. */
function latest(headers: readonly LearnedHeader[]): LearnedHeader[] {
  const kept = headers.filter(({ kind, value }) => (value?.length ?? 0) <= LONGEST && kind.length <= LONGEST_KIND);
  const byId = new Map(kept.map((one) => [`${one.upstream} ${one.header} ${one.kind}`, one]));
  return [...byId.values()];
}
