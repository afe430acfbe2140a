/**
 * The Prometheus endpoint of a worker: Longwatch's own metrics and the SDK's on one page. The SDK's core serves its own
 * on a port of loopback, from which they are read and appended. Also `/healthz` (this process works: else start it
 * again) and `/readyz` (what it needs answers too: else do not count on it). Neither says more than a word of each,
 * since anybody may ask.
 */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { createServer as createSocket, type AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import type { Logger } from 'pino';
import { Background } from '../activities/lib/service';
import { MetricsPortError } from '../config/errors';

export interface MetricsOptions {
  /** @default 9464, or any free one where that is taken; with NODE_ENV=production, 9464 and no other */
  port?: number;
  /** @default 127.0.0.1 */
  host?: string;
}

const DEFAULT_PORT = 9464;

export class MetricsPage extends Background {
  private readonly host: string;
  private readonly server = createServer((req, res) => this.answer(req, res));

  constructor(
    private readonly registry: Registry,
    private readonly health: Health,
    private readonly log: Logger,
    private readonly options: MetricsOptions = {},
    /** The port of the SDK's own page, if there is one. */
    private readonly sdkPort: () => number | undefined = () => undefined,
  ) {
    super();
    this.host = options.host ?? '127.0.0.1';
  }

  /** The address of the page itself, once it has started. */
  get url(): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://${reachable(this.host)}:${port}/metrics`;
  }

  protected async open(): Promise<void> {
    const { server, host, options } = this;
    await listen(server, options.port ?? DEFAULT_PORT, host).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') throw error;
      // A reader comes to the port that it was told.
      if (options.port !== undefined || process.env.NODE_ENV === 'production') {
        throw new MetricsPortError(options.port ?? DEFAULT_PORT, host);
      }
      await listen(server, 0, host);
      this.log.warn(`the port ${DEFAULT_PORT} is taken: metrics are at another one`);
    });
  }

  protected async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private answer(req: IncomingMessage, res: ServerResponse): void {
    const asked = pathOf(req.url);
    if (asked === '/healthz') {
      say(res, this.health.alive() ? [] : ['worker: not running']);
    } else if (asked === '/readyz') {
      void this.health.ready().then((problems) => say(res, problems));
    } else if (asked === '/metrics' || asked === '/') {
      void this.metrics(res);
    } else {
      res.writeHead(404).end();
    }
  }

  private async metrics(res: ServerResponse): Promise<void> {
    const sdkPort = this.sdkPort();
    try {
      const [own, sdk] = await Promise.all([this.registry.metrics(), sdkPort === undefined ? '' : readSdk(sdkPort)]);
      res.writeHead(200, { 'content-type': this.registry.contentType }).end(own + sdk);
    } catch (error) {
      this.log.warn({ err: error }, 'the metrics could not be read');
      const text = "the metrics could not be read; the worker's log says why\n";
      res.writeHead(500, { 'content-type': 'text/plain' }).end(text);
    }
  }
}

/** The answers of the two paths of health. */
export interface Health {
  alive: () => boolean;
  /** The reasons why it cannot work, in a few words each; none: it is ready. Never rejects. */
  ready: () => Promise<string[]>;
}

/** Probes and people add a query, or a slash at the end. */
function pathOf(url = '/'): string {
  const [asked] = url.split(/[?#]/, 1) as [string];
  return asked.replace(/\/+$/, '') || '/';
}

function say(res: ServerResponse, problems: readonly string[]): void {
  const text = problems.length === 0 ? 'ok' : problems.join('\n');
  res.writeHead(problems.length === 0 ? 200 : 503, { 'content-type': 'text/plain' }).end(`${text}\n`);
}

/** An address that others can ask: one that only says 'all of this machine's' leads nowhere. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return hostname();
  return host.includes(':') ? `[${host}]` : host;
}

/** A port that was free a moment ago, for the SDK's core, which must be told one. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket();
    socket.on('error', reject);
    socket.listen(0, '127.0.0.1', () => {
      const { port } = socket.address() as AddressInfo;
      socket.close(() => resolve(port));
    });
  });
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** The SDK's page, or nothing while core does not answer: Longwatch's own numbers must not depend on it. */
function readSdk(port: number): Promise<string> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path: '/metrics', timeout: 2_000 }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (part: string) => (text += part));
      res.on('end', () => resolve(text));
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(''));
    asked.end();
  });
}
