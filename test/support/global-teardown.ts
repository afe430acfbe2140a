/** After all tests: the stands that test files have shared are ended, the bundle of the workflow code is removed. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { Stands } from './stands';

export default async function globalTeardown(): Promise<void> {
  await (globalThis as unknown as { stands: Stands }).stands.stop();
  rmSync(path.dirname(process.env.LONGWATCH_TEST_BUNDLE!), { recursive: true, force: true });
}
