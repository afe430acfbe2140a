/**
 * The route that a request is for, and the cached answer of a route for one id: body, ETag, Last-Modified and Expires,
 * made anew from the world when the cache time is over. Used by `server.ts`.
 */
import type { Group } from './limits';
import { bodies, mix, World, type Character } from './world';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

export type CharacterRoute = keyof typeof bodies;
export type RouteName = CharacterRoute | 'status' | 'affiliation' | 'token' | 'unknown';

/** Cache time and limiter of each route. `group` undefined: the old limiter. */
export const ROUTES: Record<CharacterRoute, { cacheMs: number; group: Group | undefined; auth: boolean }> = {
  location: { cacheMs: 5 * SECOND, group: 'char-location', auth: true },
  ship: { cacheMs: 5 * SECOND, group: 'char-location', auth: true },
  online: { cacheMs: 60 * SECOND, group: 'char-location', auth: true },
  wallet: { cacheMs: 120 * SECOND, group: 'char-wallet', auth: true },
  info: { cacheMs: 7 * 24 * 60 * MINUTE, group: undefined, auth: false },
};
export const STATUS_CACHE_MS = 30 * SECOND;
export const AFFILIATION_CACHE_MS = 60 * MINUTE;

export interface Match {
  name: RouteName;
  /** 0 for a route without an id; NaN for one that is not a character's. */
  id: number;
  method: 'GET' | 'POST';
}

const STATUS: Match = { name: 'status', id: 0, method: 'GET' };
const AFFILIATION: Match = { name: 'affiliation', id: 0, method: 'POST' };
const TOKEN: Match = { name: 'token', id: 0, method: 'POST' };
const UNKNOWN: Match = { name: 'unknown', id: 0, method: 'GET' };
const PREFIX = '/characters/';
const TAILS: Record<string, CharacterRoute> = {
  '': 'info',
  location: 'location',
  ship: 'ship',
  online: 'online',
  wallet: 'wallet',
};

/** Reads a request's path; a query and the last slash do not matter. */
export function matchRoute(url: string): Match {
  const query = url.indexOf('?');
  let path = query < 0 ? url : url.slice(0, query);
  if (path.charCodeAt(path.length - 1) === 47) path = path.slice(0, -1);
  if (path === '/status') return STATUS;
  if (path === '/v2/oauth/token') return TOKEN;
  if (!path.startsWith(PREFIX)) return UNKNOWN;
  if (path === '/characters/affiliation') return AFFILIATION;
  const slash = path.indexOf('/', PREFIX.length);
  const tail = slash < 0 ? '' : path.slice(slash + 1);
  const name = Object.hasOwn(TAILS, tail) ? TAILS[tail] : undefined;
  if (name === undefined) return UNKNOWN;
  const id = Number(slash < 0 ? path.slice(PREFIX.length) : path.slice(PREFIX.length, slash));
  return { name, id: World.isCharacterId(id) ? id : NaN, method: 'GET' };
}

/** One cached answer. Its times are whole seconds, as its headers say them. */
export interface Entry {
  body: string;
  length: string;
  etag: string;
  lastModified: string;
  expires: number;
  expiresText: string;
}

/** `Date`, `Expires` and the like, made once for each second. */
export class HttpDates {
  private readonly texts = new Map<number, string>();

  of(ms: number): string {
    const second = Math.floor(ms / SECOND);
    let text = this.texts.get(second);
    if (text === undefined) {
      if (this.texts.size > 1_000) this.texts.clear();
      this.texts.set(second, (text = new Date(second * SECOND).toUTCString()));
    }
    return text;
  }
}

export class AnswerCache {
  private readonly entries: Record<CharacterRoute, Map<number, Entry>> = {
    location: new Map(),
    ship: new Map(),
    online: new Map(),
    wallet: new Map(),
    info: new Map(),
  };
  private status: Entry | undefined;

  constructor(
    private readonly world: World,
    private readonly dates: HttpDates,
    private readonly startTime: string,
  ) {}

  /** The answer that was given out and still holds, if any: who asks for it again is early. */
  held(route: CharacterRoute, id: number, now: number): Entry | undefined {
    const entry = this.entries[route].get(id);
    return entry && now < entry.expires ? entry : undefined;
  }

  renew(route: CharacterRoute, id: number, now: number): Entry {
    const character: Character = this.world.at(id, now);
    const entry = this.made(this.entries[route].get(id), bodies[route](character), now, ROUTES[route].cacheMs);
    this.entries[route].set(id, entry);
    return entry;
  }

  heldStatus(now: number): Entry | undefined {
    return this.status && now < this.status.expires ? this.status : undefined;
  }

  renewStatus(vip: boolean, now: number): Entry {
    const players = 20_000 + (mix(Math.floor(now / MINUTE)) % 5_000);
    const text = `{"players":${players},"server_version":"2580000","start_time":"${this.startTime}"${vip ? ',"vip":true' : ''}}`;
    this.status = this.made(this.status, text, now, STATUS_CACHE_MS);
    return this.status;
  }

  /** The server went up or down: what was said of it holds no longer. */
  forgetStatus(): void {
    this.status = undefined;
  }

  private made(before: Entry | undefined, body: string, now: number, cacheMs: number): Entry {
    const expires = Math.floor(now / SECOND) * SECOND + cacheMs;
    const expiresText = this.dates.of(expires);
    if (before?.body === body) {
      before.expires = expires;
      before.expiresText = expiresText;
      return before;
    }
    return {
      body,
      length: String(Buffer.byteLength(body)),
      etag: `"${hash(body, 0)}${hash(body, 0x5bd1e995)}"`,
      lastModified: this.dates.of(now),
      expires,
      expiresText,
    };
  }
}

/** Eight hexadecimal digits (FNV-1a). */
function hash(text: string, seed: number): string {
  let x = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) x = Math.imul(x ^ text.charCodeAt(i), 0x01000193);
  return mix(x).toString(16).padStart(8, '0');
}
