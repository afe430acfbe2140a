/**
 * Keys that are made of an answer's header are learned once for all nodes: a node reads them when it starts, and again
 * while it does not know which bucket a request spends from; it writes those that it has learned. Made by `index.ts` of
 * this folder.
 */
import type { Logger } from 'pino';
import { isOutage, type Database } from '../../../lib/database';
import { errorOf } from '../../../lib/failures';
import { Background } from '../../../lib/service';
import { readHeaders, writeHeaders } from '../../store/headers';
import type { Book, LearnedHeader } from './book';

const LOOK_MS = 1_000;
const LIMITS = { statementTimeoutMs: 2_000, lockTimeoutMs: 500 };
/** A value that no key is made of: it is not kept. */
const LONGEST = 200;

export class LearnedHeaders extends Background {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly host: { readonly known: Iterable<Book> },
    private readonly log: Logger,
  ) {
    super();
  }

  /** Before anything is sent. Without the database each kind of request asks by itself. */
  protected async open(): Promise<void> {
    await this.look(true);
    this.timer = setInterval(() => void this.look(false), LOOK_MS);
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    await this.look(false);
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
    const asking = books.filter((book) => isStart || book.isAsking);
    if (asking.length === 0) return;
    const names = asking.map(({ upstream }) => upstream.name);
    const learned = await this.database.transaction((db) => readHeaders(db, names), LIMITS);
    for (const book of asking) book.adopt(learned.filter(({ upstream }) => upstream === book.upstream.name));
  }

  private async tell(books: readonly Book[]): Promise<void> {
    const all = books.map((book) => ({ book, untold: book.takeUntold() }));
    const untold = latest(all.flatMap((one) => one.untold));
    if (untold.length === 0) return;
    try {
      await this.database.transaction((db) => writeHeaders(db, untold), LIMITS);
    } catch (thrown) {
      // A thing that PostgreSQL does not take is not told again: each node learns it by itself.
      if (isOutage(thrown)) for (const one of all) one.book.putBack(one.untold);
      throw thrown;
    }
  }
}

/** The last one of each. */
function latest(headers: readonly LearnedHeader[]): LearnedHeader[] {
  const kept = headers.filter(({ kind, value }) => (value?.length ?? 0) <= LONGEST && kind.length <= 2 * LONGEST);
  const byId = new Map(kept.map((one) => [`${one.upstream} ${one.header} ${one.kind}`, one]));
  return [...byId.values()];
}
