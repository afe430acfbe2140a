/**
 * Asks who the reader is, and opens the stream for them. The server may not let one in: it wants a token, has had too
 * many tries, or belongs to a program with a login of its own. Then the page says what to do. A token may also end
 * while the page is open, and another tab may sign out. Used by `shell.tsx`.
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { get, Problem, send, whenUnknown, wordsOf } from './api';
import { doorOf, SIGNED_OUT, type Door } from './door';
import { connect, disconnect, forget, lost } from './live';
import type { Me } from './me';
import { lookForRelease } from './release';

export interface Session {
  me: Me | undefined;
  /** Undefined: it is open. */
  door: Door | undefined;
  /** A token was taken: the other tabs of this browser are in as well. */
  signedIn: () => void;
  again: () => void;
  /** @returns why it could not be done */
  signOut: () => Promise<string | undefined>;
}

/** A server that does not answer yet is asked again so soon. Milliseconds. */
const AGAIN_MS = 2_000;

/** The tabs of this browser have one cookie. Dashboards at other paths of this address have another. */
function channel(): BroadcastChannel | undefined {
  return 'BroadcastChannel' in globalThis ? new BroadcastChannel(`longwatch ${location.pathname}`) : undefined;
}

export function useSession(): Session {
  const [me, setMe] = useState<Me>();
  const [door, setDoor] = useState<Door>();
  const [round, setRound] = useState(0);
  const tabs = useRef<BroadcastChannel | undefined>(undefined);
  const reader = useRef<Reader | undefined>(undefined);
  const again = useCallback(() => setRound((before) => before + 1), []);
  const shut = useCallback((next: Door): void => {
    reader.current?.end();
    forget();
    setMe(undefined);
    setDoor(next);
  }, []);
  useEffect(() => {
    const begun = new Reader({ setMe, setDoor, shut, again });
    reader.current = begun;
    void begun.begin();
    return () => begun.end();
  }, [round]);
  useEffect(() => {
    const made = channel();
    tabs.current = made;
    if (made) made.onmessage = ({ data }) => (data === 'out' ? shut(SIGNED_OUT) : again());
    return () => made?.close();
  }, []);
  const signOut = useCallback(async (): Promise<string | undefined> => {
    try {
      await send('POST', 'logout');
    } catch (error) {
      return wordsOf(error);
    }
    shut(SIGNED_OUT);
    tabs.current?.postMessage('out');
    return undefined;
  }, []);
  const signedIn = useCallback((): void => {
    tabs.current?.postMessage('in');
    again();
  }, []);
  return { me, door, again, signedIn, signOut };
}

interface Frame {
  setMe: (me: Me) => void;
  setDoor: (door: undefined) => void;
  shut: (door: Door) => void;
  again: () => void;
}

/** One reader, from the first question until the door is shut, or the session is begun anew. */
class Reader {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hasEnded = false;
  private isKnown = false;
  private asking: Promise<'in' | 'out' | 'silent'> | undefined;

  constructor(private readonly frame: Frame) {
    // Many lists may hear it at once: it is asked once.
    whenUnknown(() => {
      if (this.isKnown && !this.hasEnded) void this.ask();
    });
  }

  async begin(): Promise<void> {
    const answer = await this.ask();
    if (this.hasEnded || answer === 'out') return;
    if (answer === 'in') {
      void lookForRelease();
      return connect({
        // A stream that is refused later may be one whose token has ended.
        refused: async () => (await this.ask()) === 'out',
        reopened: () => void Promise.all([this.ask(), lookForRelease()]),
      });
    }
    this.timer = setTimeout(() => void this.begin(), AGAIN_MS);
  }

  end(): void {
    this.hasEnded = true;
    clearTimeout(this.timer);
    disconnect();
  }

  private ask(): Promise<'in' | 'out' | 'silent'> {
    return (this.asking ??= this.askOnce().finally(() => (this.asking = undefined)));
  }

  private async askOnce(): Promise<'in' | 'out' | 'silent'> {
    try {
      const me = await get<Me>('me');
      if (this.hasEnded) return 'out';
      this.isKnown = true;
      this.frame.setMe(me);
      this.frame.setDoor(undefined);
      return 'in';
    } catch (error) {
      if (this.hasEnded) return 'out';
      const problem = error instanceof Problem ? error : undefined;
      const door = problem && doorOf(problem, this.isKnown, Date.now());
      if (door) {
        // It ends this one: whoever comes next begins anew.
        this.frame.shut(door);
        return 'out';
      }
      if (!this.isKnown) lost(problem?.code === 'Unreachable' ? undefined : problem?.message);
      return 'silent';
    }
  }
}
