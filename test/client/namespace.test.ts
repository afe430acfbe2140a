/** A namespace that Temporal does not have is named, with what to do: by a client and by a worker. */
import { explain } from '../../cli/errors';
import { defineBuffer, resolveConfig } from '../../exports';
import { createWorker } from '../../workers/worker';
import { runCli } from '../support/cli';
import { writeTracker } from '../support/node-rows';
import { Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await writeTracker((text, values) => stack.sql(text, values), 'things', 1);
});
afterAll(() => stack?.close());

const SAID =
  "Temporal has no namespace 'not-there': see TEMPORAL_NAMESPACE or --namespace, or make it with: " +
  'temporal operator namespace create not-there';

test('a command', async () => {
  const servers = { ...stack.servers, namespace: 'not-there' };
  expect(await runCli({ servers }, 'add', 'things', 'a')).toEqual({
    status: 1,
    out: '',
    err: `${SAID}\n`,
  });
});

test('a worker', async () => {
  const { temporalAddress: address, databaseUrl } = stack.servers;
  const temporal = { address, namespace: 'not-there' };
  const bundle = process.env.LONGWATCH_TEST_BUNDLE;
  const started = createWorker({
    ...{
      config: resolveConfig({ buffers: [defineBuffer({ name: 'b', run: () => undefined })] }),
      temporal,
      databaseUrl,
      workflowBundle: bundle,
      log: stack.log,
    },
    metrics: { port: 0 },
  });
  const error: unknown = await started.then(() => undefined).catch((thrown: unknown) => thrown);
  expect(explain(error)).toEqual({ message: SAID, status: 1, unexpected: false });
});
