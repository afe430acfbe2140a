/**
 * Reservations and spends: what a run has taken in all of its buckets, and what each of its requests pays. All buckets
 * or none, in one order, so that nothing is held that cannot be used. Made by `spender.ts`, drawn on by the HTTP
 * client.
 */
import type { Replied } from '../../spending';
import type { Answered, RequestLine, Reservation, Shortage, Spend, UpstreamLimit, Use } from '../spender';
import type { Book } from './book';
import type { LimitVerdict } from './verdicts';
import type { Place, Taken, Verdict } from './place';
import { ShortPlace } from './shortage';

/** A reservation that is older when its request is sent is made anew, seconds: it may be another part's by now. */
const FRESH = 1;

export class RunReservation implements Reservation {
  readonly isShort = false;
  private first: Taken[] | undefined;
  private drawn = 0;
  private isOver = false;
  private readonly upstream: Book['upstream'];

  private constructor(
    private readonly book: Book,
    private readonly use: Use,
    private readonly now: () => number,
    first: Taken[],
    /** One list for each further request; most runs make none. */
    private readonly earmarks: Taken[][] | undefined,
    private readonly takenAt: number,
    /** A request by itself says nothing of the runs of its code. */
    private readonly isRun: boolean,
  ) {
    this.first = first;
    this.upstream = book.upstream;
  }

  /** @param asked undefined: what the runs of this use have made lately */
  static take(book: Book, use: Use, asked: number | undefined, now: () => number): RunReservation | Shortage {
    const requests = asked ?? book.runs.of(use.by);
    const places = book.placesOf(use, undefined);
    const taken = takeAll(places, use, requests, false);
    if (!Array.isArray(taken)) return new ShortPlace(book.upstream.name, use.by, taken, places, requests);
    const earmarks = requests > 1 ? earmarkedBy(places, requests) : undefined;
    return new RunReservation(book, use, now, taken, earmarks, now(), asked === undefined);
  }

  draw(request: RequestLine): Spend | Shortage {
    this.drawn++;
    const { first, book } = this;
    const isFresh = first !== undefined && this.now() - this.takenAt < FRESH;
    // Nothing that its buckets depend on can have become known since.
    if (isFresh && !book.dependsOnRequest && book.upstream === this.upstream) {
      this.first = undefined;
      return this.spend(first, request);
    }
    const places = book.placesOf(this.use, request);
    this.first = undefined;
    if (first) {
      if (isFresh && isOf(first, places)) return this.spend(first, request);
      releaseAll(first);
    } else releaseAll(this.earmarks?.pop());
    const taken = takeAll(places, this.use, 1, true);
    if (!Array.isArray(taken)) return new ShortPlace(book.upstream.name, this.use.by, taken, places, 1);
    return this.spend(taken, request);
  }

  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    releaseAll(this.first);
    this.earmarks?.splice(0).forEach(releaseAll);
    this.first = undefined;
    if (this.isRun && this.drawn > 0) this.book.runs.note(this.use.by, this.drawn);
  }

  private spend(taken: Taken[], request: RequestLine): Spend {
    return new RequestSpend(this.book, this.use, request, taken, this.now());
  }
}

/** An answer with the request that it is of. A class, for one is made of each answer (`eslint.config.mjs`). */
class AnsweredRequest implements Answered {
  readonly status: number;
  readonly refusedForMs: number | undefined;

  constructor(
    private readonly replied: Replied,
    readonly request: RequestLine,
  ) {
    this.status = replied.status;
    this.refusedForMs = replied.refusedForMs;
  }

  header(name: string): string | undefined {
    return this.replied.header(name);
  }

  get body(): unknown {
    return this.replied.body;
  }
}

class RequestSpend implements Spend {
  readonly isShort = false;
  private isOver = false;

  constructor(
    private readonly book: Book,
    private readonly use: Use,
    private readonly request: RequestLine,
    private readonly taken: readonly Taken[],
    private readonly sentAt: number,
  ) {}

  get maySend(): boolean {
    return !this.isOver && this.taken.every((one) => one.mayStillSend());
  }

  /** @returns true: a bucket took a refusal for its own, and holds whom it concerns. */
  report(replied: Replied): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    const { book, use, request } = this;
    const answer = new AnsweredRequest(replied, request);
    const verdicts = book.verdictsOf(answer);
    book.learn(use, answer);
    // A limit that does not concern the request has no bucket that would hold anybody.
    let isTaken = false;
    for (const one of this.taken) {
      const verdict = verdictOf(verdicts, one.place.limit);
      if (!verdict) {
        // The limit was taken away while the request was under way.
        one.release();
        continue;
      }
      book.noteSpent(one.place, verdict, answer.status);
      if (this.pay(one, verdict)) isTaken ||= isRefusal(verdict);
    }
    for (const verdict of verdicts) {
      const { limit } = verdict;
      if (!book.isByHeader(limit) || this.taken.some(({ place }) => place.limit.name === limit.name)) continue;
      const place = book.placeOfAnswer(limit, use, request, undefined);
      if (!place) continue;
      place.overdraw(verdict, this.sentAt);
      isTaken ||= isRefusal(verdict);
    }
    return isTaken;
  }

  /** By the bucket that the answer is of. @returns false: it is of none */
  private pay(one: Taken, verdict: Verdict): boolean {
    const { book, use, request } = this;
    const { place } = one;
    const actual = book.isByHeader(place.limit) ? book.placeOfAnswer(place.limit, use, request, place) : place;
    if (actual && (isSame(actual, place) || actual.key === '')) {
      one.settle(verdict);
      return true;
    }
    // It was another bucket's after all.
    one.release();
    actual?.overdraw(verdict, this.sentAt);
    return actual !== undefined;
  }

  lose(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const one of this.taken) one.lose();
  }

  release(): void {
    if (this.isOver) return;
    this.isOver = true;
    releaseAll(this.taken);
  }
}

const isRefusal = ({ refusedFor }: Verdict): boolean => refusedFor !== undefined;

function verdictOf(verdicts: readonly LimitVerdict[], limit: UpstreamLimit): LimitVerdict | undefined {
  return verdicts.find((verdict) => verdict.limit === limit || verdict.limit.name === limit.name);
}

/** All of them, or the first that has nothing. */
function takeAll(places: readonly Place[], use: Use, requests: number, isFurther: boolean): Taken[] | Place {
  const short = places.find((place) => !place.may(requests, isFurther));
  return short ?? places.map((place) => place.take(use));
}

function isOf(taken: readonly Taken[], places: readonly Place[]): boolean {
  return taken.length === places.length && taken.every(({ place }, i) => isSame(place, places[i]!));
}

/** A member's place is made anew for each request. */
function isSame(a: Place, b: Place): boolean {
  return a === b || (a.slot !== undefined && a.slot === b.slot && a.key === b.key && a.limit.name === b.limit.name);
}

function earmarkedBy(places: readonly Place[], requests: number): Taken[][] {
  const earmarks: Taken[][] = [];
  while (earmarks.length < requests - 1) earmarks.push(places.flatMap((place) => place.earmark(requests) ?? []));
  return earmarks;
}

function releaseAll(taken: readonly Taken[] | undefined): void {
  if (taken) for (const one of taken) one.release();
}
