/**
 * Listens on a socket of its own and answers by a dashboard. Called by `longwatch dashboard` and `longwatch dev`.
 */
import type { AddressInfo } from 'node:net';
import type { IncomingMessage, Server } from 'node:http';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { EnvironmentError } from '../config/errors';
import type { Dashboard } from './app';

export interface Served {
  /** `http://127.0.0.1:8765/` */
  url: string;
  /** Takes no more, answers what is under way for ten seconds at most, and ends what is open. */
  stop(): Promise<void>;
}

/** A client that does not read its answer is waited for so long. Milliseconds. */
const FLUSH_MS = 1_000;
/** A connection on which nothing moves for so long ends. Milliseconds. */
const SILENT_MS = 180_000;
/** The port where nothing else is said. */
const PORT = 8765;

export interface ListenOptions {
  host: string;
  port?: number;
  /** @default three minutes */
  silentMs?: number;
}

/**
 * @param at without a port 8765, or a free one where somebody has that; 0: a free one
 * @throws EnvironmentError where it cannot listen there
 */
export async function serveDashboard(dashboard: Dashboard, at: ListenOptions): Promise<Served> {
  const server = createAdaptorServer({
    fetch: (request, env) => dashboard(request, { address: addressOf((env as HttpBindings).incoming) }),
    overrideGlobalObjects: false,
  }) as Server;
  // A client that does not finish its headers or body does not keep a connection.
  server.headersTimeout = 15_000;
  server.requestTimeout = 60_000;
  // Nor does one that does not read what it has asked for: an answer may take two minutes, and a stream says something
  // each five seconds.
  server.setTimeout(at.silentMs ?? SILENT_MS);
  await listen(server, at.host, at.port ?? PORT).catch((error: NodeJS.ErrnoException) => {
    if (at.port === undefined && error.code === 'EADDRINUSE') return listen(server, at.host, 0);
    throw new EnvironmentError(
      `the dashboard cannot listen on ${at.host}:${at.port ?? PORT}: ${error.message}; give another port`,
      { usage: true },
    );
  });
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    await dashboard.close();
    // The answers are there, and on their way.
    server.closeIdleConnections();
    const rest = setTimeout(() => server.closeAllConnections(), FLUSH_MS);
    await closed;
    clearTimeout(rest);
  };
  return { url: `http://${at.host.includes(':') ? `[${at.host}]` : at.host}:${port}/`, stop };
}

/** Undefined behind a proxy, whose address all callers have: one who fails must not keep the others out. */
function addressOf({ headers, socket }: IncomingMessage): string | undefined {
  const isForwarded = headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined;
  return isForwarded ? undefined : socket.remoteAddress;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
