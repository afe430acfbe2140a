/**
 * The places of the example's upstream and of its tokens. Read at the first fetch, not when the config is loaded: by
 * then the `dev` hook has started the upstream and said where. Used by `connection.ts`.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const DEFAULT_PORT = 9410;
/** Written by the `dev` hook into the folder of the development stack, for workers that are started beside it. */
export const ADDRESS_FILE = 'eve-upstream.json';
const REAL = 'https://esi.evetech.net';
const REAL_SSO = 'https://login.eveonline.com';

export interface EveSettings {
  /** ESI, or the example's own upstream. */
  origin: string;
  /** The login server; the example's upstream is both. */
  ssoOrigin: string;
  /** The application's id at the login server. */
  clientId: string;
  /** Keeps the tokens in `eve.token`; undefined: in memory only. */
  databaseUrl: string | undefined;
  /** The example's own upstream, where any player logs in when asked to. */
  ownUpstream: boolean;
}

/** The content of the file that the `dev` hook writes. */
export interface AddressFile {
  origin: string;
  databaseUrl?: string;
}

/**
 * Environment: `EVE_UPSTREAM` (for the real one `https://esi.evetech.net`), `EVE_SSO`, `EVE_CLIENT_ID`,
 * `EVE_DATABASE_URL` (else `DATABASE_URL`). Else what the dev hook wrote, in this folder or one above it.
 */
export function readSettings(env: NodeJS.ProcessEnv = process.env, cwd: string = process.cwd()): EveSettings {
  const written = env.EVE_UPSTREAM && (env.EVE_DATABASE_URL || env.DATABASE_URL) ? undefined : findAddress(cwd);
  const origin = env.EVE_UPSTREAM || written?.origin || `http://127.0.0.1:${DEFAULT_PORT}`;
  const real = origin.replace(/\/$/, '') === REAL;
  return {
    origin,
    ssoOrigin: env.EVE_SSO || (real ? REAL_SSO : origin),
    clientId: env.EVE_CLIENT_ID || 'longwatch-example',
    databaseUrl: env.EVE_DATABASE_URL || env.DATABASE_URL || written?.databaseUrl,
    ownUpstream: !real && !env.EVE_SSO,
  };
}

function findAddress(from: string): AddressFile | undefined {
  for (let at = path.resolve(from); ; at = path.dirname(at)) {
    const file = path.join(at, '.longwatch', ADDRESS_FILE);
    if (existsSync(file)) {
      try {
        return JSON.parse(readFileSync(file, 'utf8')) as AddressFile;
      } catch {
        // Half written: the default, or the next attempt, will do.
        return undefined;
      }
    }
    if (at === path.dirname(at)) return undefined;
  }
}
