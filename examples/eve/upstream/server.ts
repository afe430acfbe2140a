/**
 * The example's upstream: an HTTP server that keeps the rules of EVE's ESI and its login server, with a world behind it
 * that lives. Started by the `dev` hook of `../longwatch.config.ts`, by tests and by `main.ts`. Its answers come from
 * `routes.ts`; whether it answers from `limits.ts`, `sso.ts` and the settings of `control.ts`.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { addressOf, answerControl, parsed, readBody } from './requests';
import { changedSettings, Counting, DEFAULT_SETTINGS, type Counters, type Settings } from './control';
import { Accounts } from './limits';
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

const HUGE_BYTES = 10 * 1024 * 1024;
const MAX_AFFILIATIONS = 1_000;
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
  private readonly accounts = new Accounts();
  private readonly counting = new Counting();
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
    return { ...structuredClone(this.counting.counts), characters: this.world.size };
  }

  resetCounters(): void {
    this.counting.reset();
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

  private receive(req: http.IncomingMessage, res: http.ServerResponse): void {
    res.sendDate = false;
    const url = req.url ?? '/';
    if (url.startsWith('/_control')) {
      answerControl(this, req, res);
      return;
    }
    this.counting.counts.requests++;
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
    if (this.settings.limits && this.accounts.errors.exhausted(address, now)) {
      const text = '{"error":"This software has exceeded the error limit for ESI."}';
      this.send(match, req, res, now, 420, text, this.accounts.errorHeaders(address, now));
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
    if (held) this.counting.early('status', 0);
    this.sendEntry(match, req, res, now, held ?? this.cache.renewStatus(this.settings.vip, now));
  }

  private character(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): void {
    const name = match.name as keyof typeof ROUTES;
    const { id } = match;
    const { group, auth } = ROUTES[name];
    if (group !== undefined && this.settings.limits) {
      const bucket = this.accounts.rates.bucket(group, this.owner(match, req));
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
    if (held) this.counting.early(name, id);
    this.sendEntry(match, req, res, now, held ?? this.cache.renew(name, id, now));
  }

  private affiliation(match: Match, req: http.IncomingMessage, res: http.ServerResponse): void {
    readBody(req, (text) => {
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
    this.counting.counts.mostRefreshesAtOnce = Math.max(this.counting.counts.mostRefreshesAtOnce, this.refreshing);
    const tooMany = this.refreshing > this.settings.refreshesAtOnce;
    readBody(req, (text) => {
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
    if (type === 'refresh_token' && answer) this.counting.counts.refreshes++;
    if (answer) this.send(match, req, res, now, 200, JSON.stringify(answer));
    else this.send(match, req, res, now, 400, '{"error":"invalid_grant"}');
  }

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
    this.counting.count(match.name, String(status));
    headers.push('Date', this.dates.of(now));
    if (this.settings.limits && match.name !== 'token' && status !== 420)
      this.account(match, req, headers, now, status);
    if (status !== 304) {
      headers.push('Content-Type', 'application/json', 'Content-Length', length ?? String(Buffer.byteLength(body)));
    }
    res.writeHead(status, headers);
    res.end(body);
  }

  private account(match: Match, req: http.IncomingMessage, headers: string[], now: number, status: number): void {
    const group = Object.hasOwn(ROUTES, match.name) ? ROUTES[match.name as keyof typeof ROUTES].group : undefined;
    if (group === undefined) this.accounts.charge(addressOf(req.socket), status, now, headers);
    else this.accounts.spend(group, this.owner(match, req), status, now, headers);
  }

  /**
   * The owner of the bucket that pays: the character's that the token is for, or the address's without one (where
   * tokens are asked for).
   */
  private owner(match: Match, req: http.IncomingMessage): number | string {
    const known = req.headers.authorization !== undefined || !this.settings.auth;
    return known && !Number.isNaN(match.id) ? match.id : addressOf(req.socket);
  }

  /** True: the request got one of the faults that are set. */
  private fault(match: Match, req: http.IncomingMessage, res: http.ServerResponse, now: number): boolean {
    const { hangRate, closeRate, garbageRate, hugeRate, errorRate, onlyIds, onlyRoutes } = this.settings;
    if (hangRate + closeRate + garbageRate + hugeRate + errorRate === 0) return false;
    if (onlyIds.length > 0 && !onlyIds.includes(match.id)) return false;
    if (onlyRoutes.length > 0 && !onlyRoutes.includes(match.name)) return false;
    let dice = this.roll();
    const hit = (rate: number): boolean => (dice -= rate) < 0;
    if (hit(hangRate)) {
      this.counting.count(match.name, 'hang');
    } else if (hit(closeRate)) {
      this.counting.count(match.name, 'closed');
      req.socket.destroy();
    } else if (hit(garbageRate)) {
      this.send(match, req, res, now, 200, '<html>{"solar_system_id":');
    } else if (hit(hugeRate)) {
      this.counting.count(match.name, '200');
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
}
