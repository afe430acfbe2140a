/**
 * The page with a state as a test wants it: the bundled files under a prefix, the stream, and answers by path, all with
 * the policy that the real handler sends. For tests where the state is what matters. It takes only what the real API
 * takes: its addresses, queries and bodies.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { ROUTES } from '../../../http/routes/all';
import type { State } from '../../../http/page/lib/state';

/** As the handler's own: no inline script, no inline style, nothing from elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
};

export interface Sent {
  method: string;
  /** Behind `api/v1/`, with its query. */
  path: string;
  body: unknown;
  /** `Idempotency-Key` and `If-Match`. */
  key?: string;
  match?: string;
}

/** An answer that never comes: the connection ends without a word. */
export const LOST = Symbol('lost');

/** An answer that is thrown. */
interface Refused {
  status?: number;
  code?: string;
  message: string;
  headers?: Record<string, string>;
}

export const refusal = (status: number, message: string, headers: Record<string, string> = {}): Error =>
  Object.assign(new Error(message), { status, code: 'Refused', headers });

/** An answer: a value, or what is made of the question; a status where it is not 200. */
type Answer = unknown;

export class Site {
  /** Commands that the page sent. */
  readonly sent: Sent[] = [];
  /** The tag of its files. */
  release = 'one';
  private readonly streams = new Set<ServerResponse>();
  private readonly answers: [string, (sent: Sent) => Answer][] = [];
  private server: Server | undefined;
  private port = 0;

  constructor(
    private readonly folder: string,
    public state: State,
    private readonly prefix = '/ops/longwatch/',
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}${this.prefix}`;
  }

  /**
   * @param start method and path: `GET trackers/characters/pools`; one that ends with a slash is the beginning of
   *   longer ones. The last one said wins.
   */
  answer(start: string, make: (sent: Sent) => Answer): void {
    this.answers.unshift([start, make]);
  }

  async open(): Promise<this> {
    this.server = createServer((request, response) => void this.handle(request, response));
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** As a server that has died: every connection ends. The same address comes back with `open`. */
  async close(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  /** To every page that is open. */
  tell(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    for (const stream of this.streams) stream.write(`event: delta\ndata: ${JSON.stringify(change)}\n\n`);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    if (!url.startsWith(this.prefix)) return void response.writeHead(404).end();
    const rest = url.slice(this.prefix.length);
    response.setHeader('content-security-policy', POLICY);
    if (rest === 'api/v1/stream') return this.stream(response);
    if (rest.startsWith('api/v1/')) return this.api(request, rest.slice('api/v1/'.length), response);
    const file = rest === '' ? 'index.html' : rest;
    try {
      const body = readFileSync(path.join(this.folder, path.basename(file)));
      response.setHeader('etag', `"${this.release}"`);
      response.setHeader('content-type', TYPES[path.extname(file)] ?? 'text/plain').end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  private stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`event: snapshot\ndata: ${JSON.stringify(this.state)}\n\n`);
    this.streams.add(response);
    response.on('close', () => this.streams.delete(response));
  }

  private async api(request: IncomingMessage, asked: string, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const part of request.setEncoding('utf8')) text += part as string;
    const header = (name: string): string | undefined => request.headers[name] as string | undefined;
    const sent: Sent = {
      method: request.method!,
      path: asked,
      body: text ? (JSON.parse(text) as unknown) : undefined,
      key: header('idempotency-key'),
      match: header('if-match'),
    };
    if (sent.method !== 'GET') this.sent.push(sent);
    const fault = faultOf(sent);
    // The page's console has it then, and the test fails.
    if (fault !== undefined)
      return void response
        .writeHead(501, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { code: 'NotOfTheApi', message: fault } }));
    const found = this.answers.find(([start]) => isAsked(start, `${sent.method} ${sent.path.split('?')[0]}`));
    let answer: Answer = { error: { code: 'NotFound', message: `the test has no answer to ${sent.method} ${asked}` } };
    let status = 404;
    if (found) {
      try {
        answer = await found[1](sent);
        status = 200;
      } catch (error) {
        const refused = error as Refused;
        status = refused.status ?? 500;
        for (const [name, value] of Object.entries(refused.headers ?? {})) response.setHeader(name, value);
        answer = { error: { code: refused.code ?? 'Internal', message: refused.message } };
      }
    }
    if (answer === LOST) return void response.destroy();
    const written = JSON.stringify(answer);
    if (asked.endsWith('/config')) response.setHeader('etag', tagOf(written));
    response.writeHead(status, { 'content-type': 'application/json' }).end(written);
  }
}

const isAsked = (start: string, asked: string): boolean =>
  start.endsWith('/') ? asked.startsWith(start) : asked === start;

export const tagOf = (body: string): string => `"${createHash('sha256').update(body).digest('base64url')}"`;

/** Why the real API would not take it; undefined: it would. */
function faultOf({ method, path: asked, body }: Sent): string | undefined {
  const { pathname, searchParams } = new URL(asked, 'http://api/');
  if (['/login', '/logout'].includes(pathname)) return undefined;
  const route = ROUTES.find((each) => each.method.toUpperCase() === method && patternOf(each.path).test(pathname));
  if (!route) return `the API has no ${method} ${pathname}`;
  const known = Object.keys(route.query?.shape ?? {});
  const unknown = [...searchParams.keys()].filter((name) => !known.includes(name));
  if (unknown.length > 0) return `${method} ${pathname} takes no ${unknown.join(', ')}`;
  const failed = [route.query?.safeParse(Object.fromEntries(searchParams)), route.body?.safeParse(body)].find(
    (parsed) => parsed?.success === false,
  );
  return failed && `${method} ${pathname}: ${failed.error?.message}`;
}

const patternOf = (route: string): RegExp =>
  new RegExp(`^${route.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}$`);
