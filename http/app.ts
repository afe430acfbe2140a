/**
 * The dashboard as one function from a request to its answer: the API under `/api/v1`, the stream of the state, and the
 * page. It mounts anywhere (`serve.ts` listens on a socket of its own), needs no worker, and many may run. Made by
 * `createDashboard`, which the package exports as `longwatch/dashboard`.
 */
import { Hono } from 'hono';
import { actorOf } from '../activities/lib/audit';
import { isDoneWithin } from '../activities/lib/sleep';
import { openLongwatch, type ConnectOptions, type Longwatch } from '../client/longwatch';
import { answer, checked } from './answer';
import { parseBody, readText } from './body';
import { Callers } from './callers';
import { Gate, type Authenticate, type Way } from './gate';
import { checkHost, readHosts, type Hosts } from './guard';
import { PAGE_FOLDER, PageFiles, SAFE_HEADERS } from './page-files';
import { ApiError, failureOf } from './problems';
import { ROUTES } from './routes/all';
import { Login } from './schemas';
import { StateStream } from './stream';
import { readTokens, type LetIn } from './who';

const API = '/api/v1';
/** Nobody knows yet who sends it. */
const LOGIN_BYTES = 4_096;
/** So long `close` waits for the answers that are under way: a command may be done already. Milliseconds. */
const CLOSE_MS = 10_000;
/** Connections for what is shown. */
const SHOWN = 5;

export interface DashboardOptions extends Omit<ConnectOptions, 'via'> {
  /**
   * A connection that is there already; it is not closed by the dashboard. Commands and lists share it, so give
   * it some `connections` more, and the definitions that it should know.
   */
  longwatch?: Longwatch;
  /**
   * Connections to PostgreSQL for what is shown. Commands and the stream have three of their own: lists that are slow
   * do not keep them waiting. @default 5
   */
  connections?: number;
  /** Says who asks: from your sessions, a header of your proxy, … One of `authenticate`, `tokens`, `open` is needed. */
  authenticate?: Authenticate;
  /** Lines that `longwatch token new` has printed: `NAME:ROLE:HASH`, with blanks or commas between them. */
  tokens?: string;
  /** Everybody who reaches it may do everything. */
  open?: true;
  /** The path under which it is mounted, such as `/longwatch`. @default none */
  prefix?: string;
  /**
   * Hosts by which it may be asked for, as browsers write them: `ops.example.com`, with the port where it is not the
   * usual one. @default where it is `open`, those of the loopback; else any
   */
  hosts?: Hosts;
  /** The address of Temporal's own page, for links to workflows. @default no links */
  temporalUi?: string;
  /** The folder of the page's files. @default that of the package */
  page?: string;
}

/** The caller, as far as the one that has the socket knows it. */
export interface From {
  /** The caller's address, for the limit on failed tries. */
  address?: string;
}

export interface Dashboard {
  (request: Request, from?: From): Promise<Response>;
  /** Ends its streams, waits up to ten seconds for the answers that are under way, and ends its connection. */
  close(): Promise<void>;
}

type Env = { Bindings: From };

/**
 * @throws TypeError where nothing says who may (`authenticate`, `tokens` or `open: true`), or a line of `tokens`, a
 *   host, the prefix or `temporalUi` is not one; EnvironmentError where the servers are not known
 */
export function createDashboard(options: DashboardOptions): Dashboard {
  const way = wayOf(options);
  const { longwatch, shown, end } = connectionsOf(options);
  const onUnexpected = (err: unknown): void => options.log?.error({ err }, 'the dashboard could not answer');
  const stream = new StateStream(longwatch, onUnexpected);
  const hosts = readHosts(options.hosts ?? (way.by === 'open' ? 'loopback' : 'any'));
  const parts: Parts = {
    gate: new Gate(way, hosts),
    hosts,
    ui: uiOf(options.temporalUi),
    prefix: prefixOf(options.prefix),
    callers: new Callers(longwatch),
    shown,
    files: new PageFiles(options.page ?? PAGE_FOLDER),
    stream,
    onUnexpected,
  };
  const app = appOf(parts);
  const underWay = new Set<Promise<Response>>();
  let isClosed = false;
  const handle = (request: Request, from: From = {}): Promise<Response> => {
    // On a connection that is kept another one may come while this waits for the answers before it.
    if (isClosed) return Promise.resolve(failed(closing(), request, parts));
    // Anything can be thrown, and Hono takes errors only.
    const answered = Promise.resolve(app.fetch(request, from)).catch((error: unknown) => failed(error, request, parts));
    underWay.add(answered);
    void answered.finally(() => underWay.delete(answered));
    return answered;
  };
  return Object.assign(handle, {
    close: async () => {
      isClosed = true;
      stream.close();
      await isDoneWithin(CLOSE_MS, Promise.all(underWay));
      await end();
    },
  });
}

/** The one for commands and the stream, and the one for what is shown. */
function connectionsOf(options: DashboardOptions): {
  longwatch: Longwatch;
  shown: Longwatch;
  end: () => Promise<void>;
} {
  if (options.longwatch) return { longwatch: options.longwatch, shown: options.longwatch, end: async () => undefined };
  const longwatch = openLongwatch({ ...options, via: 'http', connections: undefined });
  const shown = openLongwatch({ ...options, via: 'http', connections: options.connections ?? SHOWN });
  return { longwatch, shown, end: async () => void (await Promise.all([longwatch.close(), shown.close()])) };
}

function wayOf({ authenticate, tokens, open, actor }: DashboardOptions): Way {
  const given = [authenticate, tokens, open].filter((each) => each !== undefined).length;
  if (given !== 1 || (open as unknown) === false)
    throw new TypeError(
      'createDashboard needs one of: authenticate, tokens (npx longwatch token new), or open: true, with which whoever reaches it may do everything',
    );
  if (authenticate) return { by: 'program', authenticate };
  if (tokens === undefined) return { by: 'open', caller: { name: actorOf(actor).actor, role: 'admin' } };
  const known = readTokens(tokens);
  if (known.length === 0) throw new TypeError('`tokens` has no token; make one with: npx longwatch token new');
  return { by: 'tokens', tokens: known };
}

/** `/ops/longwatch`, or nothing. */
function prefixOf(prefix = ''): string {
  const path = prefix.replace(/\/+$/, '');
  if (path !== '' && !/^(\/[\w.~!$&'()*+,;=:@%-]+)+$/.test(path))
    throw new TypeError(`'${prefix}' is not a path such as /longwatch`);
  return path;
}

/** Everybody who looks at the page sees it. The message leaves it out: it may have a password in it. */
function uiOf(address: string | undefined): string | null {
  if (address === undefined) return null;
  const { protocol, username, password, search, hash } = URL.canParse(address)
    ? new URL(address)
    : ({} as Partial<URL>);
  if ((protocol === 'http:' || protocol === 'https:') && !username && !password && !search && !hash) return address;
  throw new TypeError(
    "`temporalUi` (--temporal-ui, TEMPORAL_UI_URL) must be the address of Temporal's own page, such as http://127.0.0.1:8233, without a user, a query or a fragment",
  );
}

interface Parts {
  gate: Gate;
  ui: string | null;
  hosts: Hosts;
  prefix: string;
  callers: Callers;
  /** For what is shown. */
  shown: Longwatch;
  files: PageFiles;
  stream: StateStream;
  onUnexpected: (error: unknown) => void;
}

function appOf(parts: Parts): Hono<Env> {
  const { gate, hosts, prefix, files } = parts;
  // A program that mounts it may have taken the prefix off already.
  const pathOf = (url: string): string => {
    const { pathname } = new URL(url);
    // It may be `/api`, which is the beginning of addresses of ours.
    if (pathname.startsWith(`${API}/`) && !pathname.startsWith(`${prefix}${API}/`)) return pathname;
    return pathname === prefix || pathname.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) || '/' : pathname;
  };
  const app = new Hono<Env>({ getPath: (request) => pathOf(request.url) });
  app.use(async (context, next) => {
    const { raw } = context.req;
    checkHost(raw, hosts);
    // The page's addresses are relative to its folder, which therefore ends with a slash.
    if (prefix !== '' && new URL(raw.url).pathname === prefix) return context.redirect(`${prefix}/`, 308);
    await next();
    context.res = safe(context.res);
  });
  addApi(app, parts);
  app.get('/:file?', async (context) => {
    const name = context.req.param('file') ?? 'index.html';
    const found = files.answer(name, context.req.raw);
    if (!found) throw notFound();
    return (name === 'index.html' && (await gate.sendsAway(context.req.raw))) || found;
  });
  app.notFound(() => {
    throw notFound();
  });
  app.onError((error, context) => failed(error, context.req.raw, parts));
  return app;
}

function failed(thrown: unknown, { signal }: Request, { onUnexpected }: Pick<Parts, 'onUnexpected'>): Response {
  const { status, body, headers, unexpected } = failureOf(thrown);
  // A caller that leaves ends what waits for it, with this reason; that is not worth a line.
  const hasLeft = signal.aborted && thrown === signal.reason;
  if (unexpected && !hasLeft) onUnexpected(thrown);
  return Response.json(body, { status, headers: { ...headers, ...SAFE_HEADERS, 'cache-control': 'no-store' } });
}

/** Anew: the headers of a redirect that a program's `authenticate` has made cannot be changed. */
function safe(response: Response): Response {
  const made = new Response(response.body, response);
  for (const [name, value] of Object.entries(SAFE_HEADERS)) made.headers.set(name, value);
  return made;
}

function addApi(app: Hono<Env>, { gate, callers, shown, stream, ui, onUnexpected }: Parts): void {
  const letIn = (request: Request, { address }: From): Promise<LetIn | Response> => gate.letIn(request, address);
  app.post(`${API}/login`, async ({ req: { raw }, env }) => {
    if (!gate.hasTokens) throw notFound();
    const body = parseBody(await readText(raw, LOGIN_BYTES), raw.headers.get('content-type'));
    const { token } = checked(Login, body, 'body');
    const { caller, cookie } = gate.login(token, raw, env.address);
    return Response.json(caller, { headers: { 'set-cookie': cookie, 'cache-control': 'no-store' } });
  });
  app.post(`${API}/logout`, ({ req: { raw } }) =>
    Response.json({ out: true }, { headers: { 'set-cookie': gate.logout(raw), 'cache-control': 'no-store' } }),
  );
  app.get(`${API}/stream`, async ({ req: { raw }, env }) => {
    const caller = await letIn(raw, env);
    if (caller instanceof Response) return caller;
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
    if (raw.method === 'HEAD') return new Response(null, { headers });
    const body = stream.open();
    if (!body) throw new ApiError(503, 'TooManyReaders', 'too many pages are open; ask again later');
    return new Response(body, { headers });
  });
  for (const route of ROUTES) {
    app.on(route.method.toUpperCase(), pathIn(route.path), async (context) => {
      const request = context.req.raw;
      const caller = await letIn(request, context.env);
      if (caller instanceof Response) return caller;
      const params = context.req.param();
      const longwatch = route.method === 'get' ? shown : callers.of(caller);
      return answer(route, { request, params, caller, longwatch, ui, onUnexpected });
    });
  }
  for (const path of new Set(ROUTES.map((route) => route.path))) refuseOthers(app, path);
}

/** Behind its routes: what else is asked of an address that is there. */
function refuseOthers(app: Hono<Env>, path: string): void {
  const taken = ROUTES.filter((route) => route.path === path).map(({ method }) => method.toUpperCase());
  const allow = [...taken, ...(taken.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
  app.all(pathIn(path), ({ req: { method } }) => {
    if (method === 'OPTIONS') return new Response(null, { status: 204, headers: { allow } });
    throw new ApiError(405, 'MethodNotAllowed', `this address does not take ${method}; it takes ${allow}`, { allow });
  });
}

const pathIn = (path: string): string => API + path.replace(/\{(\w+)\}/g, ':$1');

const closing = (): ApiError =>
  new ApiError(503, 'Closing', 'this process ends; ask again, of the one that comes after it', { connection: 'close' });
const notFound = (): ApiError => new ApiError(404, 'NotFound', 'there is nothing at this address');
