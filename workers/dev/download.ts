/**
 * Downloads the pinned `temporal` binary with the SDK's own means, into a folder. A process of its own, started by
 * `temporal.ts` with the folder and the version as arguments; exit status 0: the binary is there.
 */
import { errorMessage } from '../../workflows/lib/text';

async function download(folder: string, version: string): Promise<void> {
  // Loaded here: the package is optional, and nobody else needs it.
  const { TestWorkflowEnvironment } = await import('@temporalio/testing');
  // The SDK downloads only what it then runs, so a server is started for a moment.
  const environment = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'cached-download', downloadDir: folder, version, ttl: '3650d' }, ip: '127.0.0.1' },
  });
  await environment.teardown();
}

const [folder, version] = process.argv.slice(2);
download(folder!, version!).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${errorMessage(error)}\n`);
    process.exit(1);
  },
);
