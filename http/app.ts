/**
 * The dashboard as one function from a request to its answer: the API under `/api/v1`, the stream of the state, and the
 * page. It mounts anywhere (`serve.ts` listens on a socket of its own), needs no worker, and many may run. Made by
 * `createDashboard`, which the package exports as `longwatch/dashboard`.
 */
import { Hono } from 'hono';
import { actorOf } from '../activities/lib/audit';
import { openLongwatch, type ConnectOptions, type Longwatch } from '../client/longwatch';
import { answer, checked } from './answer';
import { parseBody, readText } from './body';
import { Callers } from './callers';
import { Gate, type Authenticate, type Way } from './gate';
import { checkHost, type Hosts } from './guard';
import { PAGE_FOLDER, PageFiles, SAFE_HEADERS } from './page-files';
import { ApiError, failureOf } from './problems';
import { ROUTES } from './routes/all';
import { Login } from './schemas';
import { StateStream } from './stream';
import { readTokens, type Caller } from './who';

const API = '/api/v1';

export interface DashboardOptions extends Omit<ConnectOptions, 'via'> {
  /** A connection that is there already; it is not closed by the dashboard. */
  longwatch?: Longwatch;
  /** Says who asks: from your sessions, a header of your proxy, … One of `authenticate`, `tokens`, `open` is needed. */
  authenticate?: Authenticate;
  /** Lines that `longwatch token new` has printed: `NAME:ROLE:HASH`, with blanks or commas between them. */
  tokens?: string;
  /** Everybody who reaches it may do everything. */
  open?: true;
  /** The path under which it is mounted, such as `/longwatch`. @default none */
  prefix?: string;
  /**
   * Hosts by which it may be asked for, as in `host`: `ops.example.com`. @default where it is `open`, those of the
   * loopback; else any
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
  /** Ends its streams and its connection. */
  close(): Promise<void>;
}

type Env = { Bindings: From };

/**
 * @throws TypeError where nothing says who may (`authenticate`, `tokens` or `open: true`), or a line of `tokens` is not
 *   one; EnvironmentError where the servers are not known
 */
export function createDashboard(options: DashboardOptions): Dashboard {
  const way = wayOf(options);
  const longwatch = options.longwatch ?? openLongwatch({ ...options, via: 'http' });
  const onUnexpected = (err: unknown): void => options.log?.error({ err }, 'the dashboard could not answer');
  const stream = new StateStream(longwatch, onUnexpected);
  const hosts = options.hosts ?? (way.by === 'open' ? 'loopback' : 'any');
  const app = appOf({
    gate: new Gate(way, hosts),
    hosts,
    ui: options.temporalUi ?? null,
    prefix: prefixOf(options.prefix),
    callers: new Callers(longwatch),
    files: new PageFiles(options.page ?? PAGE_FOLDER),
    stream,
    onUnexpected,
  });
  const handle = async (request: Request, from: From = {}): Promise<Response> => app.fetch(request, from);
  return Object.assign(handle, {
    close: async () => {
      stream.close();
      if (!options.longwatch) await longwatch.close();
    },
  });
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

interface Parts {
  gate: Gate;
  ui: string | null;
  hosts: Hosts;
  prefix: string;
  callers: Callers;
  files: PageFiles;
  stream: StateStream;
  onUnexpected: (error: unknown) => void;
}

function appOf(parts: Parts): Hono<Env> {
  const { hosts, prefix, files, onUnexpected } = parts;
  // A program that mounts it may have taken the prefix off already.
  const pathOf = (url: string): string => {
    const { pathname } = new URL(url);
    return pathname === prefix || pathname.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) || '/' : pathname;
  };
  const app = new Hono<Env>({ getPath: (request) => pathOf(request.url) });
  app.use(async (context, next) => {
    const { raw } = context.req;
    checkHost(raw, hosts);
    // The page's addresses are relative to its folder, which therefore ends with a slash.
    if (prefix !== '' && new URL(raw.url).pathname === prefix) return context.redirect(`${prefix}/`, 308);
    await next();
    for (const [name, value] of Object.entries(SAFE_HEADERS)) context.res.headers.set(name, value);
  });
  addApi(app, parts);
  app.get('/:file?', (context) => {
    const found = files.answer(context.req.param('file') ?? 'index.html', context.req.raw);
    if (found) return found;
    throw notFound();
  });
  app.notFound(() => {
    throw notFound();
  });
  app.onError((error) => {
    const { status, body, headers, unexpected } = failureOf(error);
    if (unexpected) onUnexpected(error);
    return Response.json(body, { status, headers: { ...headers, ...SAFE_HEADERS, 'cache-control': 'no-store' } });
  });
  return app;
}

function addApi(app: Hono<Env>, { gate, callers, stream, ui, onUnexpected }: Parts): void {
  const letIn = (request: Request, { address }: From): Promise<Caller | Response> => gate.letIn(request, address);
  app.post(`${API}/login`, async ({ req: { raw }, env }) => {
    if (!gate.hasTokens) throw notFound();
    const body = parseBody(await readText(raw), raw.headers.get('content-type'));
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
    const reads = ROUTES.find(({ path: of, tagged }) => tagged && of === route.path);
    const path = API + route.path.replace(/\{(\w+)\}/g, ':$1');
    app.on(route.method.toUpperCase(), path, async (context) => {
      const request = context.req.raw;
      const caller = await letIn(request, context.env);
      if (caller instanceof Response) return caller;
      const params = context.req.param();
      return answer(route, { request, params, caller, longwatch: callers.of(caller), reads, ui, onUnexpected });
    });
  }
}

const notFound = (): ApiError => new ApiError(404, 'NotFound', 'there is nothing at this address');
