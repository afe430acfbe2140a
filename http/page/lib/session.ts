/** Asks who the reader is, opens the stream for them, and knows when the server wants a token. Used by `shell.tsx`. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { get, Problem, send } from './api';
import { connect, disconnect, lost } from './live';
import type { Me } from './me';

export interface Session {
  me: Me | undefined;
  /** The server's words where it wants a token. */
  wants: string | undefined;
  again: () => void;
  signOut: () => void;
}

/** A server that does not answer yet is asked again so soon. Milliseconds. */
const AGAIN_MS = 2_000;

type Answer = 'known' | 'unknown' | 'silent';

export function useSession(): Session {
  const [me, setMe] = useState<Me>();
  const [wants, setWants] = useState<string>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    const ask = async (): Promise<Answer> => {
      try {
        const known = await get<Me>('me');
        setMe(known);
        setWants(undefined);
        return 'known';
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 401) return 'silent';
        setMe(undefined);
        setWants(error.message);
        return 'unknown';
      }
    };
    const begin = async (): Promise<void> => {
      const answer = await ask();
      if (ended) return;
      // A stream that is refused later may be one whose token has ended.
      if (answer === 'known') connect(async () => (await ask()) === 'unknown');
      if (answer !== 'silent') return;
      lost();
      timer = setTimeout(() => void begin(), AGAIN_MS);
    };
    void begin();
    return () => {
      ended = true;
      clearTimeout(timer);
      disconnect();
    };
  }, [round]);
  const again = useCallback(() => setRound((before) => before + 1), []);
  const signOut = useCallback((): void => {
    void send('POST', 'logout').finally(again);
  }, []);
  return { me, wants, again, signOut };
}
