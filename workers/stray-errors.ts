/**
 * Errors that reach no caller: a promise of a user's operation rejected after its run was given up, or a callback (a
 * timer, an event) that throws. Node would end the process and with it every pool; here they are logged and handed to
 * the hooks, and the worker goes on. Out of memory and the like still end it.
 */
import { errorOf } from '../activities/lib/failures';
import type { Node } from '../activities/tracker/shift/node';

/** Returns what takes the listeners off again. */
export function surviveStrayErrors(node: Node): () => void {
  const onStray = (kind: string) => (thrown: unknown) => {
    const error = errorOf(thrown);
    node.log.error({ err: error }, `${kind}: an error that no run caught; the worker goes on`);
    for (const [tracker, definition] of node.definitions) {
      node.report(error, { tracker, node: node.row.name }, definition);
    }
  };
  const onRejection = onStray('unhandled rejection');
  const onException = onStray('uncaught exception');
  process.on('unhandledRejection', onRejection);
  process.on('uncaughtException', onException);
  return () => {
    process.off('unhandledRejection', onRejection);
    process.off('uncaughtException', onException);
  };
}
