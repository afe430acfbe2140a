/**
 * Errors that reach no caller: a promise of a user's operation rejected after its run was given up, or a callback (a
 * timer, an event) that throws. Node would end the process and with it every pool; here they are logged and handed to
 * the hooks, and the worker goes on. Out of memory and the like still end it.
 */
import { errorOf } from '../activities/lib/failures';
import { Background } from '../activities/lib/service';
import type { Node } from '../activities/tracker/shift/node';

export class StrayErrors extends Background {
  private readonly onRejection = (thrown: unknown): void => this.tell('unhandled rejection', thrown);
  private readonly onException = (thrown: unknown): void => this.tell('uncaught exception', thrown);

  constructor(private readonly node: Node) {
    super();
  }

  protected open(): Promise<void> {
    process.on('unhandledRejection', this.onRejection);
    process.on('uncaughtException', this.onException);
    return Promise.resolve();
  }

  protected close(): Promise<void> {
    process.off('unhandledRejection', this.onRejection);
    process.off('uncaughtException', this.onException);
    return Promise.resolve();
  }

  private tell(kind: string, thrown: unknown): void {
    const { node } = this;
    const error = errorOf(thrown);
    node.log.error({ err: error }, `${kind}: an error that no run caught; the worker goes on`);
    for (const [tracker, definition] of node.definitions) {
      node.report(error, { tracker, node: node.row.name }, definition);
    }
  }
}
