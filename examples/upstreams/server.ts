/**
 * The common part of the simulated upstreams: a request in, an answer out, over HTTP, and what they counted at `GET
 * /_counts`. Each is a class that answers; `serve` puts it behind a port. They keep every spend exactly, and their
 * windows begin at a random time: an upstream that counted as Longwatch does would agree with it and prove nothing.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  header(name: string): string | undefined;
  /** Parsed JSON; undefined: none, or not readable. */
  body: unknown;
}

export interface Answered {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** Seconds that it takes to answer; the request counts as under way so long. */
  takes?: number;
}

/**
 * Numbers of the requests that came and were refused, by what for: `char-location/90000001: 12 asked, 1 refused, 23
 * tokens`.
 */
export interface Counts {
  asked: number;
  refused: number;
  tokens: number;
}

export abstract class SimulatedUpstream {
  readonly counts = new Map<string, Counts>();

  /** @param now epoch seconds; @param random from 0 to 1, for when windows begin */
  constructor(
    protected readonly now: () => number = () => Date.now() / 1_000,
    protected readonly random: () => number = Math.random,
  ) {}

  abstract answer(asked: Asked): Answered;
  /** The answer has gone out. */
  done(_asked: Asked, _answered: Answered): void {}

  protected note(of: string, refused: boolean, tokens: number): void {
    const counts = this.counts.get(of) ?? { asked: 0, refused: 0, tokens: 0 };
    counts.asked++;
    if (refused) counts.refused++;
    else counts.tokens += tokens;
    this.counts.set(of, counts);
  }
}

export interface Served {
  origin: string;
  close(): Promise<void>;
}

/** Most bytes of a request's body that are read. */
const MOST_BYTES = 1_000_000;

/** @param port 0: any that is free. Listens on this machine only. */
export async function serve(upstream: SimulatedUpstream, port = 0): Promise<Served> {
  const server = createServer((request, response) => {
    handle(upstream, request, response).catch(() => response.destroy());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: chosen } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${chosen}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function handle(upstream: SimulatedUpstream, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const asked = await read(request);
  if (asked === undefined) {
    response.writeHead(413).end();
    return;
  }
  if (asked.path === '/_counts') {
    send(response, { status: 200, body: Object.fromEntries(upstream.counts) });
    return;
  }
  const answered = upstream.answer(asked);
  const finish = (): void => {
    upstream.done(asked, answered);
    send(response, answered);
  };
  if (answered.takes) setTimeout(finish, answered.takes * 1_000);
  else finish();
}

async function read(request: IncomingMessage): Promise<Asked | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) return undefined;
    chunks.push(chunk);
  }
  const url = new URL(request.url ?? '/', 'http://upstream');
  let body: unknown;
  try {
    body = bytes > 0 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : undefined;
  } catch {
    body = undefined;
  }
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  return { method: request.method ?? 'GET', path: url.pathname, query: url.searchParams, header, body };
}

function send(response: ServerResponse, { status, headers, body }: Answered): void {
  const text = body === undefined || status === 304 ? '' : JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
}

/** The status that a test wants: `?status=404`; else 200, or 304 where the request has an ETag. */
export function wantedStatus(asked: Asked): number {
  const wanted = Number(asked.query.get('status') ?? NaN);
  if (Number.isInteger(wanted) && wanted >= 200 && wanted <= 599) return wanted;
  return asked.header('if-none-match') === undefined ? 200 : 304;
}
