/**
 * Before all tests: a `temporal` binary is there (on a new machine it is compiled, which takes minutes and must not
 * count as a test's time), and the workflow code is bundled once, from the sources as they are.
 */
import { findTemporal } from '../../workers/dev/temporal';
import { bundleSources } from './bundle';
import { SEED } from './simulate';

export default async function globalSetup(): Promise<void> {
  process.stderr.write(`simulated histories under the seed ${SEED}\n`);
  await findTemporal({ onProgress: (line) => process.stderr.write(`${line}\n`) });
  process.env.LONGWATCH_TEST_BUNDLE = await bundleSources();
}
