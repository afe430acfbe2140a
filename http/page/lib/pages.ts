/** A list that the server gives in pages, each behind the cursor of the one before. Used by the long lists. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Problem } from './api';

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Pages<T> {
  items: T[];
  /** The first page has come. */
  isWhole: boolean;
  problem?: Problem;
  /** Asks for the next page; undefined: that was all. */
  next: (() => void) | undefined;
  again: () => void;
}

interface Held<T> {
  key: string;
  items: T[];
  next: string | null;
  isWhole: boolean;
  problem?: Problem;
}

/** A page may be empty and not the last one: so much was looked through. Then the next one is asked for by itself. */
const MOST_EMPTY = 20;
/** Longer ones than this are as they were when they were asked for: the reader goes through them. */
const MOST_ANEW = 500;
/** A reader who types asks for what they end up with. */
const TYPING_MS = 150;

/**
 * The list is asked for anew every `everyMs` while the page is seen: as many items as are shown, in their place.
 * @param key names the list; another key begins at its first page
 */
export function usePages<T>(
  key: string,
  question: (after: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  everyMs = 10_000,
): Pages<T> {
  const [held, setHeld] = useState<Held<T>>({ key, items: [], next: null, isWhole: false });
  const [round, setRound] = useState(0);
  const latest = useRef(held);
  latest.current = held.key === key ? held : { key, items: [], next: null, isWhole: false };
  /** Ends with the key: a late answer is not that of another list. */
  const ending = useRef(new AbortController());
  /** The questions so far: only the newest one is heard. */
  const asked = useRef(0);
  const heard = useRef(0);

  const load = useCallback(
    async (before: readonly T[], from: string | undefined, wanted: number): Promise<void> => {
      const { signal } = ending.current;
      const number = ++asked.current;
      const isNewest = (): boolean => !signal.aborted && number === asked.current;
      try {
        const { items, next } = await pagesFrom((after) => question(after, signal), before, from, wanted);
        if (isNewest()) setHeld({ key, items, next, isWhole: true });
      } catch (error) {
        if (!isNewest()) return;
        const problem = error instanceof Problem ? error : new Problem(0, 'Page', String(error));
        // The items that were there stay, and so does the way on.
        setHeld({ ...latest.current, isWhole: true, problem });
      } finally {
        if (isNewest()) heard.current = number;
      }
    },
    [key],
  );
  useEffect(() => {
    const own = new AbortController();
    ending.current = own;
    heard.current = asked.current;
    const anew = (): void => {
      const { length } = latest.current.items;
      const isUnderWay = heard.current !== asked.current;
      if (!document.hidden && !isUnderWay && length <= MOST_ANEW) void load([], undefined, Math.max(1, length));
    };
    // The first time it is asked for wherever the page is; the answer waits for its reader.
    const first = setTimeout(() => void load([], undefined, 1), round === 0 ? TYPING_MS : 0);
    const end = whileSeen(anew, everyMs);
    return () => {
      clearTimeout(first);
      end();
      own.abort();
    };
  }, [key, round]);
  const { next, ...shown } = latest.current;
  return {
    ...shown,
    next: next === null ? undefined : () => void load(shown.items, next, shown.items.length + 1),
    again: () => setRound((before) => before + 1),
  };
}

/** Pages from there on, until there are as many items as are wanted, or that was all. */
async function pagesFrom<T>(
  question: (after: string | undefined) => Promise<Page<T>>,
  before: readonly T[],
  from: string | undefined,
  wanted: number,
): Promise<Page<T>> {
  let page = await question(from);
  const items = [...before, ...page.items];
  for (let empty = 0; page.next !== null && items.length < wanted && empty < MOST_EMPTY;) {
    if (page.items.length === 0) empty++;
    page = await question(page.next);
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
