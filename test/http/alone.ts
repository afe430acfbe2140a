/** Dashboards without servers, and questions to them as programs send them. For tests of the gate and the page. */
import { createDashboard, type Dashboard, type DashboardOptions, type From } from '../../http/app';

export const SECRET = 'p4ssw0rd-of-the-database';
const environment = {
  temporal: { address: '127.0.0.1:1', namespace: 'default' },
  databaseUrl: `postgres://lw:${SECRET}@127.0.0.1:1/longwatch`,
};
const made: Dashboard[] = [];
export function dashboardWith(options: DashboardOptions): Dashboard {
  // No page was built: its address is none.
  const dashboard = createDashboard({ environment, page: '/nowhere', ...options });
  made.push(dashboard);
  return dashboard;
}
afterEach(() => Promise.all(made.splice(0).map((dashboard) => dashboard.close())));

export const get = (dashboard: Dashboard, url: string, headers: Record<string, string> = {}, from: From = {}) =>
  dashboard(new Request(url, { headers }), from);
export const post = (
  dashboard: Dashboard,
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
  from: From = {},
) =>
  dashboard(
    new Request(url, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    }),
    from,
  );
export const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;
export const ME = 'http://localhost:8765/api/v1/me';
