/**
 * The Prometheus endpoint of a worker: Longwatch's own metrics and the SDK's on one page. The SDK's core serves its own on a
 * port of loopback, from which they are read and appended. Also `/healthz`, for a container's health check.
 */
import { createServer, type Server } from 'node:http';
import { request } from 'node:http';
import { createServer as createSocket, type AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MetricsServer {
  /** Of the page itself. */
  url: string;
  close(): Promise<void>;
}

export interface MetricsOptions {
  /** @default 9464, or any free one where that is taken */
  port?: number;
  /** @default 127.0.0.1 */
  host?: string;
}

const DEFAULT_PORT = 9464;

export async function serveMetrics(
  registry: Registry,
  sdkPort: number | undefined,
  healthy: () => boolean,
  options: MetricsOptions = {},
): Promise<MetricsServer> {
  const host = options.host ?? '127.0.0.1';
  const server = createServer((req, res) => {
    if (req.url === '/healthz') {
      res.writeHead(healthy() ? 200 : 503, { 'content-type': 'text/plain' }).end(healthy() ? 'ok\n' : 'not running\n');
    } else if (req.url === '/metrics' || req.url === '/') {
      Promise.all([registry.metrics(), sdkPort === undefined ? '' : readSdk(sdkPort)]).then(
        ([own, sdk]) => res.writeHead(200, { 'content-type': registry.contentType }).end(own + sdk),
        (error: Error) => res.writeHead(500, { 'content-type': 'text/plain' }).end(`${error.message}\n`),
      );
    } else {
      res.writeHead(404).end();
    }
  });
  await listen(server, options.port ?? DEFAULT_PORT, host).catch(async (error: NodeJS.ErrnoException) => {
    if (options.port !== undefined || error.code !== 'EADDRINUSE') throw error;
    await listen(server, 0, host);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
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
