/**
 * `longwatch doctor` on real servers: before there is a worker, with one, with a pool in quarantine, without servers.
 */
import { defineConfig, defineTracker } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

const config = defineConfig({
  trackers: [defineTracker({ name: 'things', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } })],
});

test('nothing has been started: there is nothing wrong', async () => {
  expect(await runCli(stack, 'doctor')).toMatchObject({
    status: 0,
    out: expect.stringMatching(/^\d+ checks made, all is well\n$/) as string,
  });
});

test('with a worker all is well; a pool in quarantine is found, with the command that releases it', async () => {
  const worker = await stack.worker(config);
  await longwatch.tracker('things').start(resolveConfig(config).trackers[0]!.options);
  await longwatch.tracker('things').add(['a'], { wait: true });
  await eventually('the doctor finds nothing wrong', async () => (await runCli(stack, 'doctor')).status === 0);

  await stack.sql(`update longwatch.pool set quarantined_at = now(), last_error = 'out of cheese'`);
  const { status, out, err } = await runCli(stack, 'doctor');
  expect(status).toBe(1);
  expect(out).toContain('problem: pool 0 of things is in quarantine: out of cheese\n    npx longwatch resume things\n');
  expect(err).toMatch(/^1 problem, 0 notices, of \d+ checks\n$/);
  const json = await runCli(stack, 'doctor', '--json');
  expect(JSON.parse(json.out)).toMatchObject({
    findings: [{ check: 'quarantined', severity: 'problem' }],
    unknown: [],
  });
  await stack.sql(`update longwatch.pool set quarantined_at = null`);
  await worker.shutdown();
});

test('without servers nothing is known, and that is not well', async () => {
  const nowhere = { servers: { temporalAddress: '127.0.0.1:1', databaseUrl: 'postgres://u:secret@127.0.0.1:1/none' } };
  const { status, out, err } = await runCli(nowhere, 'doctor');
  expect(status).toBe(1);
  expect(out).toMatch(/^not known, \d+ checks: .*127\.0\.0\.1:1/m);
  expect(out + err).not.toContain('secret');
});
