/**
 * Before all tests: a `temporal` binary is there (on a new machine it is compiled, which takes minutes and must not
 * count as a test's time), the workflow code is bundled once, from the sources as they are, and test files can ask for
 * servers. After them those are ended (`global-teardown.ts`).
 */
import { findTemporal } from '../../workers/dev/temporal';
import { bundleSources } from './bundle';
import { SEED } from './simulate';
import { Stands } from './stands';

export default async function globalSetup(): Promise<void> {
  process.stderr.write(`simulated histories under the seed ${SEED}\n`);
  await findTemporal({ onProgress: (line) => process.stderr.write(`${line}\n`) });
  process.env.LONGWATCH_TEST_BUNDLE = await bundleSources();
  const stands = new Stands();
  process.env.LONGWATCH_TEST_STANDS = await stands.start();
  Object.assign(globalThis, { stands });
}
