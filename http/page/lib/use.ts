/** The questions that all pages ask in the same way: an answer that is asked again and again, and the time. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { whenActed } from './acted';
import { Problem } from './api';
import { serverNow } from './clock';

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
    const { signal } = ending;
    const ask = async (): Promise<void> => {
      if (document.hidden) return;
      try {
        const data = await latest.current(signal);
        if (!signal.aborted) setState({ key, data, loading: false });
      } catch (error) {
        if (signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, 'Page', String(error));
        setState((before) => ({ key, data: before.key === key ? before.data : undefined, problem, loading: false }));
      }
    };
    const { now, anew } = turns(ask, everyMs, signal);
    // A page that was opened behind others, or comes back to the front, has nothing or something old.
    const seen = (): void => {
      if (!document.hidden) now();
    };
    const endOfActed = everyMs === undefined ? undefined : whenActed(anew);
    document.addEventListener('visibilitychange', seen);
    now();
    return () => {
      document.removeEventListener('visibilitychange', seen);
      endOfActed?.();
      ending.abort();
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

/** A question at a time, and the next one `everyMs` after the answer. */
function turns(ask: () => Promise<void>, everyMs: number | undefined, signal: AbortSignal) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isAsking = false;
  /** The answer that is on its way may be one of before an action. */
  let isOld = false;
  const turn = async (): Promise<void> => {
    clearTimeout(timer);
    isAsking = true;
    do {
      isOld = false;
      await ask();
    } while (isOld && !signal.aborted);
    isAsking = false;
    if (everyMs !== undefined && !signal.aborted) timer = setTimeout(() => void turn(), everyMs);
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  const now = (): void => {
    if (!isAsking) void turn();
  };
  const anew = (): void => {
    if (isAsking) isOld = true;
    else now();
  };
  return { now, anew };
}

/** One timer for all ages on the page, however many they are. */
const watching = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;

function everySecond(listener: () => void): () => void {
  watching.add(listener);
  ticking ??= setInterval(() => {
    for (const each of watching) each();
  }, 1_000);
  return () => {
    watching.delete(listener);
    if (watching.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  };
}

function useSecond(clock: () => number): number {
  const [now, setNow] = useState(clock);
  useEffect(() => everySecond(() => setNow(clock())), []);
  return now;
}

/** The server's time, each second: for the ages of what it answers. */
export const useNow = (): number => useSecond(serverNow);

/** The time of this browser, each second: for what it has seen itself. */
export const useOwnNow = (): number => useSecond(ownNow);

const ownNow = (): number => Date.now();

/** A title for the tab, and the focus on the page's head where the reader has gone to another page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Longwatch`;
  }, [title]);
}
