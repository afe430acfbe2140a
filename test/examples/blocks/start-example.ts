/** Starts the example's buffers and tracker, as `main.ts` does, from the options as a worker resolves them. */
import { resolveConfig } from '../../../exports';
import type { Longwatch } from '../../../client/longwatch';
import config from '../../../examples/blocks/longwatch.config';

export async function startExample(longwatch: Longwatch): Promise<void> {
  const { buffers, trackers } = resolveConfig(config);
  await Promise.all(buffers.map(({ name, options }) => longwatch.buffer(name).start(options)));
  const [{ name, options }] = trackers as [(typeof trackers)[number]];
  await longwatch.tracker(name).start(options);
  await longwatch.tracker(name).add(['head'], { wait: true });
}
