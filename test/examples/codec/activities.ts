/** A step that can be taken back, and one that is refused: for `workflows.ts`. */
import { defineActivity } from '../../../exports';

export const SECRET = 'hunter2';

export const book = defineActivity({
  name: 'book',
  run: (input: { name: string }) => Promise.resolve(input),
  compensate: { run: () => Promise.resolve(undefined) },
});

export const refuse = defineActivity({
  name: 'refuse',
  retry: { attempts: 1 },
  run: (_input: null): Promise<null> => Promise.reject(new Error(`${SECRET} was refused`)),
});
