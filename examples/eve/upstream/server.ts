/**
 * The example's upstream: an HTTP server that keeps the rules of EVE's ESI and its login server, with a world behind it
 * that lives. Started by the `dev` hook of `../longwatch.config.ts`, by tests and by `main.ts`. Its answers come from
 * `routes.ts`; whether it answers from `limits.ts`, `sso.ts` and the settings of `control.ts`.
 */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { changedSettings, DEFAULT_SETTINGS, type Counters, type Settings } from './control';
import { costOf, ErrorLimiter, RateLimiter } from './limits';
import { AFFILIATION_CACHE_MS, AnswerCache, HttpDates, matchRoute, ROUTES, type Entry, type Match } from './routes';
import { Sso } from './sso';
import { mix, World } from './world';

export interface EveUpstreamOptions {
  /** @default a free one. Taken: start fails with EADDRINUSE. */
  port?: number;
  /** The same seed and the same times give the same world. @default 1 */
  seed?: number;
  /** Events of the world come this many times as fast. @default 1 */
  pace?: number;
  settings?: Partial<Settings>;
  /** Epoch milliseconds; tests that do not want to wait give their own. @default Date.now */
  now?: () => number;
}

export interface EveUpstream {
  readonly port: number;
  readonly origin: string;
  readonly settings: Readonly<Settings>;
  /** Changes settings as `POST /_control` does. Throws TypeError for a field that is not a setting. */
  set(change: Partial<Settings>): void;
  counters(): Counters;
  resetCounters(): void;
  /** A player logs in by hand and gives us the permission: answers the first refresh token. */
  login(id: number): string;
  /** A player takes the permission back. */
  revoke(id: number): void;
  close(): Promise<void>;
}

const MAX_REQUEST_BYTES = 64 * 1024;
const HUGE_BYTES = 10 * 1024 * 1024;
const MAX_AFFILIATIONS = 1_000;
const EARLY_KEPT = 10_000;
let huge: Buffer | undefined;

/** Starts it on 127.0.0.1. */
export async function startEveUpstream(options: EveUpstreamOptions = {}): Promise<EveUpstream> {
  const upstream = new Upstream(options);
  await upstream.listen(options.port ?? 0);
  return upstream;
}

class Upstream implements EveUpstream {
  settings: Settings;
  private readonly server = http.createServer((req, res) => this.receive(req, res));
  private readonly now: () => number;
  private readonly dates = new HttpDates();
  private readonly world: World;
  private readonly cache: AnswerCache;
  private readonly sso: Sso;
  private readonly errors = new ErrorLimiter();
  private readonly rates = new RateLimiter();
  private counts = freshCounters();
  private earlyKept = 0;
  private refreshing = 0;
  private dice: number;

  constructor(options: EveUpstreamOptions) {
    const seed = options.seed ?? 1;
    this.settings = { ...DEFAULT_SETTINGS };
    this.set(options.settings ?? {});
    this.now = options.now ?? Date.now;
    this.dice = mix(seed);
    this.world = new World(seed, this.now(), options.pace);
    this.sso = new Sso(seed);
    this.cache = new AnswerCache(this.world, this.dates, `${new Date(this.now()).toISOString().slice(0, 19)}Z`);
    this.server.keepAliveTimeout = 60_000;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }
  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', () => resolve());
    });
  }

  set(change: Partial<Settings>): void {
    const next = changedSettings(this.settings, change);
    if (typeof next === 'string') throw new TypeError(next);
    if (next.vip !== this.settings.vip || next.downtime !== this.settings.downtime) this.cache.forgetStatus();
    this.settings = next;
  }

  counters(): Counters {
    return { ...structuredClone(this.counts), characters: this.world.size };
  }

  resetCounters(): void {
    this.counts = freshCounters();
    this.earlyKept = 0;
  }

  login(id: number): string {
    return this.sso.login(id, this.now(), this.settings.accessTokenSeconds).refresh_token;
  }

  revoke(id: number): void {
    this.sso.revoke(id);
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.close((error) => (error ? reject(error) : resolve()));
      this.server.closeAllConnections();
    });
  }

  // ── A request ──────────────────────────────────────────────────────────────────────────────

  private receive(req: http.IncomingMessage, res: http.ServerResponse): void {
    res.sendDate = false;
    const url = req.url ?? '/';
    if (url.startsWith('/_control')) {
      this.control(req, res);
      return;
    }
    this.counts.requests++;
    const match = matchRoute(url);
    const { latencyMs, jitterMs } = this.settings;
    // The login server takes the time of `refreshMs`.
    if (latencyMs + jitterMs === 0 || match.name === 'token') {
      this.handle(match, req, res);
    } else {
      setTimeout(() => this.handle(match, req, res), Math.round(latencyMs + jitterMs * this.roll()));
    }
  }

  private handle(match: Match, req: http.IncomingMessage, res: http.ServerResponse): void {
    const now = this.now();
    if (this.fault(match, req, res, now)) return;
    // The login server is another one: it has neither ESI's downtime nor its limits.
    if (match.name === 'token') {
      this.token(match, req, res, now);
      return;
    }
    if (this.settings.downtime) {
      this.send(match, req, res, now, 503, '{"error":"The datasource tranquility is temporarily unavailable"}');
      return;
    }
    const address = addressOf(req.socket);
    if (this.settings.limits && this.errors.exhausted(address, now)) {
      const text = '{"error":"This software has exceeded the error limit for ESI."}';
      this.send(match, req, res, now, 420, text, this.errorHeaders(address, now));
      return;
    }
    if (match.name === 'unknown') this.send(match, req, res, now, 404, '{"error":"Not found"}');
    else if (req.method !== match.method) this.send(match, req, res, now, 405, '{"error":"Method not allowed"}');
    else if (match.name === 'status') this.status(match, req, res, now);
    else if (match.name === 'affiliation') this.affiliation(match, req, res);
    else this.character(match, req, res, now);
  }

  private status(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): void {
    const held = this.cache.heldStatus(now);
    if (held) this.countEarly('status', 0);
    this.sendEntry(match, req, res, now, held ?? this.cache.renewStatus(this.settings.vip, now));
  }

  private character(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): void {
    const name = match.name as keyof typeof ROUTES;
    const { id } = match;
    const { group, auth } = ROUTES[name];
    if (group !== undefined && this.settings.limits) {
      const bucket = this.rates.bucket(group, this.owner(match, req));
      const wait = bucket.retryAfter(now);
      if (wait > 0) {
        this.send(match, req, res, now, 429, '{"error":"Rate limited"}', ['Retry-After', String(wait)]);
        return;
      }
    }
    if (auth && this.settings.auth) {
      const check = this.sso.check(id, req.headers.authorization, now);
      if (check !== 'valid') {
        if (check === 'other character')
          this.send(match, req, res, now, 403, '{"error":"Character does not match token"}');
        else if (check === 'expired') this.send(match, req, res, now, 401, '{"error":"token is expired"}');
        else this.send(match, req, res, now, 401, '{"error":"authorization not provided"}');
        return;
      }
    }
    if (Number.isNaN(id) || this.settings.deletedIds.includes(id)) {
      this.send(match, req, res, now, 404, '{"error":"Character not found"}');
      return;
    }
    const held = this.cache.held(name, id, now);
    if (held) this.countEarly(name, id);
    this.sendEntry(match, req, res, now, held ?? this.cache.renew(name, id, now));
  }

  private affiliation(match: Match, req: http.IncomingMessage, res: http.ServerResponse): void {
    this.readBody(req, (text) => {
      const now = this.now();
      const ids = parsed(text);
      if (
        !Array.isArray(ids) ||
        ids.length === 0 ||
        ids.length > MAX_AFFILIATIONS ||
        new Set(ids).size !== ids.length
      ) {
        this.send(match, req, res, now, 400, '{"error":"Invalid body: 1 to 1000 different ids"}');
        return;
      }
      const wrong = (id: unknown): boolean =>
        typeof id !== 'number' || !World.isCharacterId(id) || this.settings.deletedIds.includes(id);
      if (ids.some(wrong)) {
        this.send(match, req, res, now, 404, '{"error":"Invalid character ID"}');
        return;
      }
      const rows = (ids as number[]).map(
        (id) => `{"character_id":${id},"corporation_id":${this.world.at(id, now).corporation}}`,
      );
      const headers = ['Expires', this.dates.of(Math.floor(now / 1_000) * 1_000 + AFFILIATION_CACHE_MS)];
      this.send(match, req, res, now, 200, `[${rows.join()}]`, headers);
    });
  }

  private token(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): void {
    if (req.method !== match.method) {
      this.send(match, req, res, now, 405, '{"error":"invalid_request"}');
      return;
    }
    // Counted from the moment the request is there, as many at once are what overloads it.
    this.refreshing++;
    res.once('close', () => this.refreshing--);
    this.counts.mostRefreshesAtOnce = Math.max(this.counts.mostRefreshesAtOnce, this.refreshing);
    const tooMany = this.refreshing > this.settings.refreshesAtOnce;
    this.readBody(req, (text) => {
      if (tooMany) {
        this.send(match, req, res, now, 500, '{"error":"server_error"}');
        return;
      }
      setTimeout(() => this.grant(match, req, res, new URLSearchParams(text)), this.settings.refreshMs);
    });
  }

  private grant(match: Match, req: http.IncomingMessage, res: http.ServerResponse, form: URLSearchParams): void {
    const now = this.now();
    const life = this.settings.accessTokenSeconds;
    const type = form.get('grant_type');
    // In place of the login page: a code `login-<id>` stands for a player who has just given permission.
    const code = /^login-(\d{1,10})$/.exec(form.get('code') ?? '');
    const id = Number(code?.[1]);
    let answer;
    if (type === 'refresh_token') answer = this.sso.refresh(form.get('refresh_token') ?? '', now, life);
    else if (type === 'authorization_code' && World.isCharacterId(id)) answer = this.sso.login(id, now, life);
    if (type === 'refresh_token' && answer) this.counts.refreshes++;
    if (answer) this.send(match, req, res, now, 200, JSON.stringify(answer));
    else this.send(match, req, res, now, 400, '{"error":"invalid_grant"}');
  }

  // ── The answer ─────────────────────────────────────────────────────────────────────────────

  private sendEntry(
    match: Match,
    req: http.IncomingMessage,
    res: http.ServerResponse,
    now: number,
    entry: Entry,
  ): void {
    const headers = ['ETag', entry.etag, 'Expires', entry.expiresText, 'Last-Modified', entry.lastModified];
    const asked = req.headers['if-none-match'];
    if (asked !== undefined && (asked === entry.etag || asked === `W/${entry.etag}`)) {
      this.send(match, req, res, now, 304, '', headers);
    } else {
      this.send(match, req, res, now, 200, entry.body, headers, entry.length);
    }
  }

  private send(
    match: Match,
    req: http.IncomingMessage,
    res: http.ServerResponse,
    now: number,
    status: number,
    body: string,
    headers: string[] = [],
    length?: string,
  ): void {
    this.count(match.name, String(status));
    headers.push('Date', this.dates.of(now));
    if (this.settings.limits && match.name !== 'token' && status !== 420)
      this.account(match, req, headers, now, status);
    if (status !== 304) {
      headers.push('Content-Type', 'application/json', 'Content-Length', length ?? String(Buffer.byteLength(body)));
    }
    res.writeHead(status, headers);
    res.end(body);
  }

  /** Charges the route's limiter for an answer and says in its headers how it stands. */
  private account(match: Match, req: http.IncomingMessage, headers: string[], now: number, status: number): void {
    const group = Object.hasOwn(ROUTES, match.name) ? ROUTES[match.name as keyof typeof ROUTES].group : undefined;
    if (group === undefined) {
      const address = addressOf(req.socket);
      if (status >= 400) this.errors.count(address, now);
      headers.push(...this.errorHeaders(address, now));
      return;
    }
    const bucket = this.rates.bucket(group, this.owner(match, req));
    bucket.spend(costOf(status), now);
    const used = bucket.usedAt(now);
    headers.push('X-Ratelimit-Group', group, 'X-Ratelimit-Limit', this.rates.limitText(group));
    headers.push('X-Ratelimit-Remaining', String(Math.max(0, bucket.limit - used)), 'X-Ratelimit-Used', String(used));
  }

  private errorHeaders(address: string, now: number): string[] {
    const remain = String(this.errors.remain(address, now));
    return ['X-ESI-Error-Limit-Remain', remain, 'X-ESI-Error-Limit-Reset', String(this.errors.reset(now))];
  }

  /**
   * The owner of the bucket that pays: the character's that the token is for, or the address's without one (where
   * tokens are asked for).
   */
  private owner(match: Match, req: http.IncomingMessage): number | string {
    const known = req.headers.authorization !== undefined || !this.settings.auth;
    return known && !Number.isNaN(match.id) ? match.id : addressOf(req.socket);
  }

  // ── Bad days ───────────────────────────────────────────────────────────────────────────────

  /** True: the request got one of the faults that are set. */
  private fault(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): boolean {
    const { hangRate, closeRate, garbageRate, hugeRate, errorRate, onlyIds, onlyRoutes } = this.settings;
    if (hangRate + closeRate + garbageRate + hugeRate + errorRate === 0) return false;
    if (onlyIds.length > 0 && !onlyIds.includes(match.id)) return false;
    if (onlyRoutes.length > 0 && !onlyRoutes.includes(match.name)) return false;
    let dice = this.roll();
    const hit = (rate: number): boolean => (dice -= rate) < 0;
    if (hit(hangRate)) {
      this.count(match.name, 'hang');
    } else if (hit(closeRate)) {
      this.count(match.name, 'closed');
      req.socket.destroy();
    } else if (hit(garbageRate)) {
      this.send(match, req, res, now, 200, '<html>{"solar_system_id":');
    } else if (hit(hugeRate)) {
      this.count(match.name, '200');
      huge ??= Buffer.alloc(HUGE_BYTES, '[0,');
      res.writeHead(200, ['Content-Type', 'application/json', 'Content-Length', String(HUGE_BYTES)]);
      res.end(huge);
    } else if (hit(errorRate)) {
      this.send(match, req, res, now, 502, '{"error":"Bad gateway"}');
    } else {
      return false;
    }
    return true;
  }

  /** 0 to 1, the same row of numbers for the same seed. */
  private roll(): number {
    this.dice = (this.dice + 0x9e3779b9) | 0;
    return mix(this.dice) / 2 ** 32;
  }

  // ── Control and counting ───────────────────────────────────────────────────────────────────

  private control(req: http.IncomingMessage, res: http.ServerResponse): void {
    const answer = (status: number, body: unknown): void => {
      res.writeHead(status, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify(body));
    };
    if (req.method === 'GET') {
      answer(200, { settings: this.settings, counters: this.counters() });
    } else if (req.method === 'POST') {
      this.readBody(req, (text) => {
        try {
          this.set(parsed(text) as Partial<Settings>);
          answer(200, { settings: this.settings });
        } catch (error) {
          answer(400, { error: (error as Error).message });
        }
      });
    } else if (req.method === 'DELETE') {
      this.resetCounters();
      answer(200, { counters: this.counters() });
    } else {
      answer(405, { error: 'GET, POST, or DELETE to reset the counters' });
    }
  }

  private readBody(req: http.IncomingMessage, then: (text: string) => void): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_REQUEST_BYTES) chunks.push(chunk);
    });
    req.once('end', () => then(bytes > MAX_REQUEST_BYTES ? '' : Buffer.concat(chunks).toString()));
  }

  private count(route: string, result: string): void {
    const counts = (this.counts.routes[route] ??= {});
    counts[result] = (counts[result] ?? 0) + 1;
  }

  private countEarly(route: string, id: number): void {
    this.counts.early++;
    const key = id === 0 ? route : `${route} ${id}`;
    const before = this.counts.earlyBy[key];
    if (before === undefined && this.earlyKept++ >= EARLY_KEPT) return;
    this.counts.earlyBy[key] = (before ?? 0) + 1;
  }
}

function freshCounters(): Counters {
  return { requests: 0, routes: {}, early: 0, earlyBy: {}, mostRefreshesAtOnce: 0, refreshes: 0, characters: 0 };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const ADDRESS = Symbol('address');

/** The address of a connection, asked for once: it is a system call. */
function addressOf(socket: Socket & { [ADDRESS]?: string }): string {
  return (socket[ADDRESS] ??= socket.remoteAddress ?? 'gone');
}
