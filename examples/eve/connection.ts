/**
 * The one upstream client and token book of a process, made at the first fetch. Used by `longwatch.config.ts`, which
 * hands it to `operations.ts`.
 */
import { createUpstream, type Upstream } from 'longwatch/upstream';
import { readSettings, type EveSettings } from './settings';
import { MemoryTokenStore, PostgresTokenStore } from './token-store';
import { REFRESHES_AT_ONCE, TokenBook, type TokenOptions } from './tokens';

export interface EveConnection {
  upstream: Upstream;
  tokens: TokenBook;
  close(): Promise<void>;
}

const HEADERS = { 'user-agent': 'longwatch-example', accept: 'application/json' };

/** @param tokenOptions in place of the token book's own, for tests. */
export function connectEve(settings: EveSettings, tokenOptions: Partial<TokenOptions> = {}): EveConnection {
  const upstream = createUpstream({
    origin: settings.origin,
    headers: HEADERS,
    // The longest time-out of any operation. The engine ends a run at its own, through the signal.
    timeoutMs: 300_000,
    // A 429 is for one character's bucket; the old limiter's 420 is for the whole address.
    holdScope: ({ status }) => (status === 420 ? 'tracker' : status === 429 ? 'member' : 'operation'),
  });
  const sso = createUpstream({ origin: settings.ssoOrigin, headers: HEADERS, connections: REFRESHES_AT_ONCE });
  const tokens = new TokenBook({
    sso,
    store: settings.databaseUrl ? new PostgresTokenStore(settings.databaseUrl) : new MemoryTokenStore(),
    clientId: settings.clientId,
    codeOf: settings.ownUpstream ? (id) => `login-${id}` : undefined,
    ...tokenOptions,
  });
  return {
    upstream,
    tokens,
    close: async () => {
      await Promise.all([upstream.close(), sso.close()]);
      await tokens.close();
    },
  };
}

let shared: EveConnection | undefined;

export function eve(): EveConnection {
  shared ??= connectEve(readSettings());
  return shared;
}

/** For the end of a development stack: nothing is left open. */
export async function closeEve(): Promise<void> {
  const closing = shared;
  shared = undefined;
  await closing?.close();
}
