/**
 * A list that the server gives in pages, each behind the cursor of the one before; a long one is gone through piece by
 * piece, to its end. Used by the long lists; drawn by `parts/listed.tsx`.
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { whenActed } from './acted';
import { Problem } from './api';

interface Page<T> {
  items: T[];
  next: string | null;
}

/** The part of a list that is asked for. */
interface Wanted {
  after: string | undefined;
  limit: number;
}

export interface Pages<T> {
  items: T[];
  /** So many are before the first one of these: a browser draws some thousands at once. */
  skipped: number;
  /** The first page has come. */
  isWhole: boolean;
  isAsking: boolean;
  problem?: Problem;
  /** When this was asked for, by this browser's clock, where it is so long that it is not asked for anew. */
  stillSince?: number;
  /** Asks for what follows; undefined: that was all. */
  next: (() => void) | undefined;
  /** From the first one. */
  again: () => void;
}

interface Held<T> {
  key: string;
  items: T[];
  skipped: number;
  /** The cursor before the first of the items. */
  from: string | undefined;
  next: string | null;
  isWhole: boolean;
  askedAt: number;
  problem?: Problem;
}

interface Sizes {
  /** Items of the first page. */
  first?: number;
  /** The server's limit for a page. */
  most?: number;
  everyMs?: number;
}

/** A page may be empty and not the last one: so much was looked through. Then the next one is asked for by itself. */
const MOST_EMPTY = 20;
/** Longer ones than this are as they were when they were asked for: the reader goes through them. */
const MOST_ANEW = 500;
/** More are not held at once: what follows takes their place. */
const MOST_HELD = 2_000;
/** A reader who types asks for what they end up with. */
const TYPING_MS = 150;

type Question<T> = (wanted: Wanted, signal: AbortSignal) => Promise<Page<T>>;

/**
 * The list is asked for anew every `everyMs` while the page is seen: as many items as are shown, in their place.
 * @param key names the list; another key begins at its first page
 */
export function usePages<T>(
  key: string,
  question: Question<T>,
  { first = 100, most = 1_000, everyMs = 10_000 }: Sizes = {},
): Pages<T> {
  const [round, setRound] = useState(0);
  /** The list as it was when its reader asked for more; the answer is another one. */
  const [goingOn, setGoingOn] = useState<Held<T>>();
  const { held, load, isUnderWay, begin } = useHeld(key, question, { first, most });
  useEffect(() => {
    const end = begin();
    const again = (): void => {
      const { items, skipped, from } = held();
      if (items.length <= MOST_ANEW) void load({ items: [], skipped, from }, from, Math.max(1, items.length));
    };
    const anew = (): void => {
      if (!document.hidden && !isUnderWay()) again();
    };
    const endOfActed = whenActed(again);
    // The first time it is asked for wherever the page is; the answer waits for its reader.
    const start = (): void => void load({ items: [], skipped: 0, from: undefined }, undefined, 1);
    const timer = setTimeout(start, round === 0 ? TYPING_MS : 0);
    const endOfSeen = whileSeen(anew, everyMs);
    return () => {
      clearTimeout(timer);
      endOfSeen();
      endOfActed();
      end();
    };
  }, [key, round]);
  const { items, skipped, from, next, isWhole, askedAt, problem } = held();
  const goOn = (after: string): void => {
    setGoingOn(held());
    const isFull = items.length >= MOST_HELD;
    const before = isFull ? { items: [], skipped: skipped + items.length, from: after } : { items, skipped, from };
    // Each step is as long as all before it, so that the end of a long list is not a thousand steps away.
    void load(before, after, Math.min(most, Math.max(1, items.length)));
  };
  return {
    items,
    skipped,
    isWhole,
    isAsking: goingOn !== undefined && goingOn === held(),
    problem,
    stillSince: items.length > MOST_ANEW ? askedAt : undefined,
    next: next === null ? undefined : () => goOn(next),
    again: () => setRound((before) => before + 1),
  };
}

/** The items of a list so far, and how more are asked for. Only the newest question is heard. */
function useHeld<T>(key: string, question: Question<T>, { first, most }: Required<Omit<Sizes, 'everyMs'>>) {
  const nothing: Held<T> = { key, items: [], skipped: 0, from: undefined, next: null, isWhole: false, askedAt: 0 };
  const [state, setHeld] = useState(nothing);
  const latest = useRef(state);
  latest.current = state.key === key ? state : nothing;
  /** Ends with the key: a late answer is not that of another list. */
  const ending = useRef(new AbortController());
  const asked = useRef(0);
  const heard = useRef(0);
  const load = useCallback(
    async (before: Pick<Held<T>, 'items' | 'skipped' | 'from'>, after: string | undefined, more: number) => {
      const { signal } = ending.current;
      const number = ++asked.current;
      const isNewest = (): boolean => !signal.aborted && number === asked.current;
      try {
        const ask = (from: string | undefined, left: number): Promise<Page<T>> =>
          question({ after: from, limit: Math.min(most, Math.max(first, left)) }, signal);
        const { items, next } = await pagesFrom(ask, before.items, after, before.items.length + more);
        if (!isNewest()) return;
        heard.current = number;
        setHeld({ ...before, key, items, next, isWhole: true, askedAt: Date.now() });
      } catch (error) {
        if (!isNewest()) return;
        heard.current = number;
        const problem = error instanceof Problem ? error : new Problem(0, 'Page', String(error));
        // The items that were there stay, and so does the way on.
        setHeld({ ...latest.current, isWhole: true, problem });
      }
    },
    [key],
  );
  const begin = (): (() => void) => {
    const own = new AbortController();
    ending.current = own;
    heard.current = asked.current;
    return () => own.abort();
  };
  return { held: () => latest.current, load, isUnderWay: () => heard.current !== asked.current, begin };
}

/** Pages from there on, until there are as many items as are wanted, or that was all. */
async function pagesFrom<T>(
  ask: (after: string | undefined, left: number) => Promise<Page<T>>,
  before: readonly T[],
  from: string | undefined,
  wanted: number,
): Promise<Page<T>> {
  let page = await ask(from, wanted - before.length);
  const items = [...before, ...page.items];
  for (let empty = 0; page.next !== null && items.length < wanted && empty < MOST_EMPTY;) {
    if (page.items.length === 0) empty++;
    page = await ask(page.next, wanted - items.length);
    items.push(...page.items);
  }
  return { items, next: page.next };
}

/** Now and then, and when the page comes to the front. @returns ends it */
function whileSeen(what: () => void, everyMs: number): () => void {
  const timer = setInterval(what, everyMs);
  document.addEventListener('visibilitychange', what);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', what);
  };
}
