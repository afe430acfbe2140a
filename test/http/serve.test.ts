/**
 * The dashboard on a socket of its own: a stop in the middle of an answer, streams that are open. No server is asked.
 */
import { createDashboard, type DashboardOptions } from '../../http/app';
import { serveDashboard } from '../../http/serve';

const environment = {
  temporal: { address: '127.0.0.1:1', namespace: 'default' },
  databaseUrl: 'postgres://lw@127.0.0.1:1/longwatch',
};
const serve = (options: DashboardOptions) =>
  serveDashboard(createDashboard({ environment, page: '/nowhere', ...options }), { host: '127.0.0.1', port: 0 });

test('a request that is under way gets its answer, although the process was told to end', async () => {
  let isAsked = (): void => undefined;
  let goOn = (): void => undefined;
  const asked = new Promise<void>((resolve) => (isAsked = resolve));
  const wait = new Promise<void>((resolve) => (goOn = resolve));
  const served = await serve({
    authenticate: async () => {
      isAsked();
      await wait;
      return { name: 'ana', role: 'read' };
    },
  });
  const answered = fetch(`${served.url}api/v1/me`);
  await asked;
  const stopped = served.stop();
  // No other is taken.
  await expect(fetch(`${served.url}api/v1/me`)).rejects.toThrow();
  goOn();
  expect(await (await answered).json()).toMatchObject({ name: 'ana' });
  await stopped;
});

test('streams that are open end with it', async () => {
  const served = await serve({ open: true });
  const response = await fetch(`${served.url}api/v1/stream`);
  const text = response.text();
  await served.stop();
  expect(await text).toMatch(/^retry: 1000\n\n/);
});
