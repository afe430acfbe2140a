/**
 * Lets callers of the API in: by a token (in `authorization`, or in the cookie that `login` sets), by the program's own
 * `authenticate`, or all, where it is `open`. A page of another site may change nothing. Called by `app.ts` before a
 * route is looked at.
 */
import { checkOrigin, hostOf, type Hosts } from './guard';
import { ApiError } from './problems';
import { callerOf, isRole, Tries, type Caller, type KnownToken, type LetIn } from './who';

/**
 * @returns who it is; undefined: nobody that is known (401). A Response (a redirect to a login page, say) is answered
 *   as it is.
 */
export type Authenticate = (request: Request) => Caller | Response | undefined | Promise<Caller | Response | undefined>;

export type Way =
  | { by: 'open'; caller: Caller }
  | { by: 'tokens'; tokens: readonly KnownToken[] }
  | { by: 'program'; authenticate: Authenticate };

const WEEK_S = 7 * 86_400;

export class Gate {
  private readonly tries = new Tries();

  constructor(
    private readonly way: Way,
    private readonly hosts: Hosts,
  ) {}

  /** Whether there is something to log in with. */
  get hasTokens(): boolean {
    return this.way.by === 'tokens';
  }

  /**
   * @param address the caller's, where it is known
   * @throws ApiError
   */
  async letIn(request: Request, address: string | undefined): Promise<LetIn | Response> {
    const changes = !['GET', 'HEAD'].includes(request.method);
    checkOrigin(request, this.hosts);
    if (this.way.by === 'open') return { ...this.way.caller, byCookie: false };
    if (this.way.by === 'program') {
      // A session that is not there is often null, or an empty text.
      const caller = (await this.way.authenticate(request)) || undefined;
      if (caller === undefined) throw new ApiError(401, 'Unauthorized', 'it is not known who asks');
      if (caller instanceof Response) return caller;
      checkCaller(caller);
      return { name: caller.name, role: caller.role, byCookie: false };
    }
    const { token, isCookie } = tokenOf(request);
    if (token === undefined)
      throw new ApiError(401, 'Unauthorized', 'it needs a token: authorization: Bearer lw_…', {
        'www-authenticate': 'Bearer',
      });
    const caller = this.check(token, address);
    // A page of another site cannot send this without being asked for leave first.
    if (isCookie && changes && !isJson(request))
      throw new ApiError(403, 'OtherSite', 'with the cookie, send content-type: application/json');
    return { ...caller, byCookie: isCookie };
  }

  /** The answer of the program's `authenticate` in place of the page: a redirect to its login, say. */
  async sendsAway(request: Request): Promise<Response | undefined> {
    if (this.way.by !== 'program') return undefined;
    const caller = await this.way.authenticate(request);
    return caller instanceof Response ? caller : undefined;
  }

  /** The token's caller, and the cookie that stands for it. @throws ApiError */
  login(token: string, request: Request, address: string | undefined): { caller: Caller; cookie: string } {
    checkOrigin(request, this.hosts);
    const caller = this.check(token, address);
    return { caller, cookie: cookieOf(token, WEEK_S, request) };
  }

  logout(request: Request): string {
    checkOrigin(request, this.hosts);
    return cookieOf('', 0, request);
  }

  private check(token: string, address: string | undefined): Caller {
    const now = performance.now();
    // A caller whose address is known waits before the token is looked at. Without addresses all callers are one, and a
    // stranger's tries must not keep the others out: then only a token that fails is refused for longer.
    const waitMs = address === undefined ? 0 : this.tries.waitMs(address, now);
    if (waitMs > 0) throw tooMany(waitMs);
    const caller = this.way.by === 'tokens' ? callerOf(token, this.way.tokens) : undefined;
    if (caller) return caller;
    this.tries.note(address ?? '', token, now);
    const nowMs = this.tries.waitMs(address ?? '', now);
    if (nowMs > 0) throw tooMany(nowMs);
    throw new ApiError(401, 'Unauthorized', 'this token is not known', { 'www-authenticate': 'Bearer' });
  }
}

/** An empty name would be listed as the one who runs this process. @throws TypeError, for the log */
function checkCaller({ name, role }: Caller): void {
  if (typeof name !== 'string' || name.trim() === '' || !isRole(role))
    throw new TypeError("`authenticate` must give a name that is not empty, and a role: 'read', 'operate' or 'admin'");
}

function tooMany(waitMs: number): ApiError {
  const seconds = String(Math.max(1, Math.ceil(waitMs / 1_000)));
  return new ApiError(429, 'TooManyTries', `too many tries failed; come again in ${seconds} s`, {
    'retry-after': seconds,
  });
}

function tokenOf(request: Request): { token?: string; isCookie: boolean } {
  const [, token] = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '') ?? [];
  if (token !== undefined) return { token, isCookie: false };
  const given = new RegExp(`(?:^|;\\s*)${cookieName(request)}=([^;\\s]+)`);
  const [, cookie] = given.exec(request.headers.get('cookie') ?? '') ?? [];
  return { token: cookie, isCookie: true };
}

/** Browsers send a cookie to all ports of its host: beside another dashboard each has its own. */
function cookieName(request: Request): string {
  const [, port] = /:(\d{1,5})$/.exec(hostOf(request)) ?? [];
  return port === undefined ? 'longwatch' : `longwatch-${port}`;
}

/** Without a path of its own it is for the folder of the address that sets it: `…/api/v1`, under any prefix. */
function cookieOf(token: string, seconds: number, request: Request): string {
  const isSafe = request.url.startsWith('https:') || request.headers.get('x-forwarded-proto') === 'https';
  return `${cookieName(request)}=${token}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSafe ? '; Secure' : ''}`;
}

const isJson = (request: Request): boolean =>
  /^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '');
