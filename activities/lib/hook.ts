/** Calls a hook that the user has written (`onError`), so that its own failure harms nobody. */
import { errorOf } from './failures';

/** @param failed called with the error that the hook has thrown, or its promise was rejected with */
export function callHook(hook: () => unknown, failed: (error: Error) => void): void {
  const caught = (thrown: unknown): void => failed(errorOf(thrown));
  try {
    const returned = hook();
    if (returned instanceof Promise) returned.catch(caught);
  } catch (thrown) {
    caught(thrown);
  }
}
