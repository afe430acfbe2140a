/** The questions that all pages ask in the same way: an answer that is asked again and again, and the time. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Problem } from './api';

export interface Asked<T> {
  data: T | undefined;
  /** Why the last question has no answer; `data` is then that of an earlier one. */
  problem: Problem | undefined;
  loading: boolean;
  again: () => void;
}

/**
 * Asks now, and again every `everyMs` while the page is seen. A new key forgets the answer to the old one.
 * @param key names the question; undefined asks nothing
 */
export function useAsked<T>(
  key: string | undefined,
  question: (signal: AbortSignal) => Promise<T>,
  everyMs?: number,
): Asked<T> {
  const [state, setState] = useState<{ key?: string; data?: T; problem?: Problem; loading: boolean }>({
    loading: true,
  });
  const [round, setRound] = useState(0);
  const latest = useRef(question);
  latest.current = question;
  useEffect(() => {
    if (key === undefined) return undefined;
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      if (!document.hidden) {
        try {
          const data = await latest.current(ending.signal);
          if (!ending.signal.aborted) setState({ key, data, loading: false });
        } catch (error) {
          if (ending.signal.aborted) return;
          const problem = error instanceof Problem ? error : new Problem(0, 'Page', String(error));
          setState((before) => ({ key, data: before.key === key ? before.data : undefined, problem, loading: false }));
        }
      }
      if (everyMs !== undefined && !ending.signal.aborted) timer = setTimeout(() => void ask(), everyMs);
    };
    void ask();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, round]);
  const again = useCallback(() => setRound((before) => before + 1), []);
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    problem: current ? state.problem : undefined,
    loading: !current || state.loading,
    again,
  };
}

/** The time of this browser, each second. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** A title for the tab, and the focus on the page's head where the reader has gone to another page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Longwatch`;
  }, [title]);
}
