/** A saga whose second step fails, for `codec.test.ts`. */
import { durable, saga } from 'longwatch/workflow';
import type * as activities from './activities';

const { book, refuse } = durable<typeof activities>();

export async function trip(name: string): Promise<null> {
  return saga(async (steps) => {
    await steps.step(book, { name });
    return refuse(null);
  });
}
