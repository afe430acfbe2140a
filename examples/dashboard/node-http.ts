/**
 * The dashboard in a program that has a server of `node:http` already: under /longwatch, for those who are logged in
 * there. Run: `npx tsx examples/dashboard/node-http.ts`, with DATABASE_URL and TEMPORAL_ADDRESS.
 */
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { createDashboard, type Caller } from 'longwatch/dashboard';

/** Stands for your sessions: the name and the role of who sends this cookie. */
function userOf(cookie: string): Caller | undefined {
  return cookie.includes('session=of-ana') ? { name: 'ana', role: 'operate' } : undefined;
}

export function startServer(port: number) {
  const dashboard = createDashboard({
    prefix: '/longwatch',
    authenticate: (request) => userOf(request.headers.get('cookie') ?? ''),
  });
  const listener = getRequestListener((request) => dashboard(request), { overrideGlobalObjects: false });
  const server = createServer((request, response) => {
    if (/^\/longwatch(\/|$)/.test(request.url ?? '')) return void listener(request, response);
    response.end('your program\n');
  });
  server.on('close', () => void dashboard.close());
  return server.listen(port, '127.0.0.1');
}

if (require.main === module) startServer(Number(process.env.PORT ?? 3000));
