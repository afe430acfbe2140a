/** After all tests: the stands that test files have shared are ended. */
import type { Stands } from './stands';

export default async function globalTeardown(): Promise<void> {
  await (globalThis as unknown as { stands: Stands }).stands.stop();
}
