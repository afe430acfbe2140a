/** For a server that asks who one is: a token is pasted once, and a cookie that no script reads stands for it then. */
import { useState } from 'preact/hooks';
import { send, wordsOf } from '../lib/api';
import { useTitle } from '../lib/use';
import { Data, State } from '../parts/text';

export function SignIn({ words, onDone }: { words: string; onDone: () => void }) {
  useTitle('Sign in');
  const [token, setToken] = useState('');
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
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
    <main id="main" class="sign-in">
      <h1>Longwatch</h1>
      <p class="quiet">
        <Data text={words} most={300} />
      </p>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>token</span>
          <input
            type="password"
            autoComplete="current-password"
            value={token}
            required
            placeholder="lw_…"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
          <small>whoever runs Longwatch makes one with: npx longwatch token new --role read</small>
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
    </main>
  );
}
