/**
 * The upstream with its limits, which operations name, and the token book of a process, made at the first fetch. Used
 * by the configs, which hand them to `operations.ts`.
 */
import { defineUpstream, type LimitedUpstream, type Upstream } from 'longwatch/upstream';
import { readSettings, type EveSettings } from './settings';
import { MemoryTokenStore, PostgresTokenStore } from './token-store';
import { REFRESHES_AT_ONCE, TokenBook, type TokenOptions } from './tokens';

export interface EveConnection {
  upstream: Upstream;
  tokens: TokenBook;
  close(): Promise<void>;
}

const HEADERS = { 'user-agent': 'longwatch-example', accept: 'application/json' };

/** ESI with its two limiters; a route has one or the other, and says in its headers which. */
function esiAt(origin: () => string): LimitedUpstream {
  return defineUpstream({
    name: 'esi',
    // Asked at the first fetch: by then it is known where the upstream is.
    get origin() {
      return origin();
    },
    headers: HEADERS,
    // The longest time-out of any operation. The engine ends a run at its own, through the signal.
    timeoutMs: 300_000,
    // If no worker keeps the limits: a 429 is for one character's bucket, the old limiter's 420 for the whole
    // address.
    holdScope: ({ status }) => (status === 420 ? 'tracker' : status === 429 ? 'member' : 'operation'),
    limits: {
      errors: {
        key: ({ address, header }) => (header('x-esi-error-limit-remain') === undefined ? undefined : address),
        learn: 'esi-errors',
        tokens: 100,
        window: '1m',
        shape: 'fixed',
        closesAtEnd: true,
        cost: ({ status }) => (status >= 400 ? 1 : 0),
      },
      group: {
        // A route without a login has one bucket for all characters.
        key: ({ id, address, request, header }) =>
          `${header('x-ratelimit-group')}:${/\/portrait\//.test(request.path) ? address : id}`,
        learn: 'esi-group',
        cost: { '2xx': 2, '3xx': 1, '4xx': 5, 429: 0, '5xx': 0 },
      },
    },
  });
}

/** The login server answers 500 to more refreshes at once than it likes, whichever of our nodes they come from. */
function loginAt(origin: () => string): LimitedUpstream {
  return defineUpstream({
    name: 'eve-login',
    get origin() {
      return origin();
    },
    headers: HEADERS,
    connections: REFRESHES_AT_ONCE,
    limits: { refreshes: { key: 'address', shape: 'concurrent', tokens: REFRESHES_AT_ONCE } },
  });
}

/** The upstreams of this process, for operations and the config to name. */
export const esi = esiAt(() => readSettings().origin);
export const login = loginAt(() => readSettings().ssoOrigin);

/** @param tokenOptions in place of the token book's own, for tests. */
export function connectEve(settings: EveSettings, tokenOptions: Partial<TokenOptions> = {}): EveConnection {
  return connectionOf(
    esiAt(() => settings.origin),
    loginAt(() => settings.ssoOrigin),
    settings,
    tokenOptions,
  );
}

function connectionOf(
  upstream: Upstream,
  sso: Upstream,
  settings: EveSettings,
  tokenOptions: Partial<TokenOptions>,
): EveConnection {
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
  shared ??= connectionOf(esi, login, readSettings(), {});
  return shared;
}

/** For the end of a development stack: nothing is left open. */
export async function closeEve(): Promise<void> {
  const closing = shared;
  shared = undefined;
  await closing?.close();
}
