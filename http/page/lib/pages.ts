/** A list that the server gives in pages, each behind the cursor of the one before. Used by the long lists. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { Problem } from './api';

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Pages<T> {
  items: T[];
  /** The first page has come. */
  isWhole: boolean;
  problem: Problem | undefined;
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

/** @param key names the list; another key begins at its first page */
export function usePages<T>(
  key: string,
  question: (after: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
): Pages<T> {
  const [held, setHeld] = useState<Held<T>>({ key, items: [], next: null, isWhole: false });
  const [round, setRound] = useState(0);
  const load = useCallback(
    async (before: T[], from: string | undefined, signal: AbortSignal): Promise<void> => {
      try {
        let page = await question(from, signal);
        for (let empty = 0; page.items.length === 0 && page.next !== null && empty < MOST_EMPTY; empty++) {
          page = await question(page.next, signal);
        }
        if (!signal.aborted) setHeld({ key, items: [...before, ...page.items], next: page.next, isWhole: true });
      } catch (error) {
        if (signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, 'Page', String(error));
        setHeld({ key, items: before, next: null, isWhole: true, problem });
      }
    },
    [key],
  );
  useEffect(() => {
    const ending = new AbortController();
    // A reader who types asks for what they end up with.
    const timer = setTimeout(() => void load([], undefined, ending.signal), round === 0 ? 150 : 0);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [key, round]);
  const again = useCallback(() => setRound((before) => before + 1), []);
  const current: Held<T> = held.key === key ? held : { key, items: [], next: null, isWhole: false };
  const { next } = current;
  return {
    items: current.items,
    isWhole: current.isWhole,
    problem: current.problem,
    next: next === null ? undefined : () => void load(current.items, next, new AbortController().signal),
    again,
  };
}
