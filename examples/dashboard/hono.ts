/**
 * The dashboard in a Hono app: under /longwatch, for those who have a token. Run:
 * `LONGWATCH_TOKENS=… npx tsx examples/dashboard/hono.ts`, with DATABASE_URL and TEMPORAL_ADDRESS.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createDashboard, type Dashboard } from 'longwatch/dashboard';

export function appWith(dashboard: Dashboard): Hono {
  const app = new Hono();
  app.get('/', (context) => context.text('your program'));
  app.all('/longwatch', (context) => dashboard(context.req.raw));
  app.all('/longwatch/*', (context) => dashboard(context.req.raw));
  return app;
}

if (require.main === module) {
  const dashboard = createDashboard({ prefix: '/longwatch', tokens: process.env.LONGWATCH_TOKENS });
  serve({ fetch: appWith(dashboard).fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' });
}
