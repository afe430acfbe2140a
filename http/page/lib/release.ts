/**
 * Whether the server has another release of this page by now: one that was left open is of the one before, and may not
 * understand what the server says. Asked whenever the server was away; said by `shell.tsx`.
 */
import { useEffect, useState } from 'preact/hooks';

let own: string | null | undefined;
let isAnother = false;
const listeners = new Set<() => void>();

/** The first answer is that of the page itself. Never rejects: it is only a hint. */
export async function lookForRelease(): Promise<void> {
  try {
    const { ok, headers } = await fetch('app.js', { method: 'HEAD', cache: 'no-cache' });
    if (!ok) return;
    const tag = headers.get('etag');
    own ??= tag;
    isAnother = own !== null && tag !== null && tag !== own;
    for (const listener of listeners) listener();
  } catch {
    // The next break of the stream asks again.
  }
}

export function useIsOfAnotherRelease(): boolean {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = (): void => draw((before) => before + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return isAnother;
}
