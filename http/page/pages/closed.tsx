/**
 * In place of every page, where the server does not let the reader in: a token is pasted once, and a cookie that no
 * script reads stands for it then; a program that has its own login is asked for it; too many failed tries are waited
 * for. Drawn by `shell.tsx`, which keeps the address: one goes on where one was.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { send, wordsOf } from '../lib/api';
import { duration } from '../lib/format';
import type { Door } from '../lib/door';
import { useOwnNow, useTitle } from '../lib/use';
import { CommandLine, Data, State } from '../parts/text';

interface Props {
  door: Door;
  again: () => void;
  signedIn: () => void;
}

export function Closed({ door, again, signedIn }: Props) {
  useTitle(door.by === 'wait' ? 'Wait' : 'Sign in');
  return (
    <main id="main" class="closed">
      <h1>Longwatch</h1>
      {door.words !== '' && (
        <p role="status">
          <Data text={door.words} most={400} />
        </p>
      )}
      {door.by === 'token' && <SignIn onDone={signedIn} />}
      {door.by === 'login' && <Elsewhere again={again} />}
      {door.by === 'wait' && <Wait at={door.at ?? 0} again={again} />}
    </main>
  );
}

function SignIn({ onDone }: { onDone: () => void }) {
  const [token, setToken] = useState('');
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setFailure(undefined);
    try {
      await send('POST', 'login', { token: token.trim() });
      setToken('');
      onDone();
    } catch (error) {
      setFailure(wordsOf(error));
    }
    setBusy(false);
  };
  return (
    <>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>token</span>
          <input
            ref={field}
            type="password"
            autoComplete="current-password"
            value={token}
            required
            placeholder="lw_…"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="main" disabled={busy || token.trim() === ''}>
          Sign in
        </button>
      </form>
      {failure !== undefined && (
        <p class="trouble" role="alert">
          <State is="failed" word="Not signed in: " />
          <Data text={failure} most={300} />
        </p>
      )}
      <p class="quiet">
        This browser keeps it for a week, where no script can read it. Whoever runs Longwatch makes one with:{' '}
        <CommandLine text="npx longwatch token new --role read" />
      </p>
    </>
  );
}

/** A program that asks for its own login may send the browser there when the page is loaded. */
function Elsewhere({ again }: { again: () => void }) {
  // Signed in elsewhere, one comes back to this tab.
  useEffect(() => {
    const seen = (): void => {
      if (!document.hidden) again();
    };
    document.addEventListener('visibilitychange', seen);
    return () => document.removeEventListener('visibilitychange', seen);
  }, []);
  return (
    <>
      <p class="quiet">The dashboard is a part of another program, which says who may see it. Sign in there.</p>
      <p>
        <button type="button" class="main" onClick={() => location.reload()}>
          Load the page again
        </button>
      </p>
    </>
  );
}

function Wait({ at, again }: { at: number; again: () => void }) {
  const left = Math.max(0, at - useOwnNow());
  useEffect(() => {
    const timer = setTimeout(again, Math.max(0, at - Date.now()));
    return () => clearTimeout(timer);
  }, [at]);
  return (
    <p class="quiet">
      {left > 0 ? `It is asked again by itself in ${duration(Math.ceil(left / 1_000) * 1_000)}.` : 'Asking the server…'}{' '}
      <button type="button" class="link" onClick={again}>
        ask now
      </button>
    </p>
  );
}
