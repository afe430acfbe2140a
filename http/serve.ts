/**
 * Listens on a socket of its own and answers by a dashboard. Called by `longwatch dashboard` and `longwatch dev`.
 */
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import type { Dashboard } from './app';

export interface Served {
  /** `http://127.0.0.1:8765/` */
  url: string;
  /** Takes no more, and ends what is open. */
  stop(): Promise<void>;
}

/** @param at port 0: a free one. @throws what the system says of the address: EADDRINUSE, EACCES, … */
export async function serveDashboard(dashboard: Dashboard, at: { host: string; port: number }): Promise<Served> {
  const server = createAdaptorServer({
    fetch: (request, env) =>
      dashboard(request, { address: (env as HttpBindings).incoming.socket.remoteAddress ?? undefined }),
    overrideGlobalObjects: false,
  }) as Server;
  // A client that does not finish its headers or body does not keep a connection.
  server.headersTimeout = 15_000;
  server.requestTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => resolve(server.off('error', reject) && undefined));
  });
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    await dashboard.close();
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://${at.host.includes(':') ? `[${at.host}]` : at.host}:${port}/`, stop };
}
