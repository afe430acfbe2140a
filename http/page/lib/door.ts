/** The server's answer to who the reader is, as what keeps them out and what lets them in. Pure; for `session.ts`. */
import type { Problem } from './api';

/** Why the page is not shown, and what lets one in. */
export interface Door {
  /** `token`: paste one; `login`: the program's own login; `wait`: it is asked again by itself. */
  by: 'token' | 'login' | 'wait';
  words: string;
  /** When it is asked again, by this browser's clock. */
  at?: number;
}

/** A server that does not say how long it is to be left alone. Milliseconds. */
const WAIT_MS = 30_000;

export const SIGNED_OUT: Door = { by: 'token', words: 'You are signed out: this browser has no token any more.' };
const ENDED =
  'Your token is not taken any more: it was given a week ago, or it was replaced or taken back. With another one you go on where you were.';
const TRIES = 'Too many tokens that are not known came from your address, so that no token is looked at for a while.';

/**
 * @param wasKnown the reader had been let in before
 * @returns undefined: it says nothing about the reader, such as an answer of a proxy whose server is away
 */
export function doorOf(
  { status, message, hints }: Pick<Problem, 'status' | 'message' | 'hints'>,
  wasKnown: boolean,
  now: number,
): Door | undefined {
  if (status === 429) return { by: 'wait', words: TRIES, at: now + (hints.waitMs ?? WAIT_MS) };
  if (status === 401 && hints.wantsToken) return { by: 'token', words: wasKnown ? ENDED : '' };
  if (status === 401) return { by: 'login', words: wasKnown ? 'Your session has ended.' : 'You are not signed in.' };
  return status >= 400 && status < 500 ? { by: 'wait', words: `${message}.`, at: now + WAIT_MS } : undefined;
}
