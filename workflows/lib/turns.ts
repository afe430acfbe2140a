/**
 * The commands of an operator to one workflow, carried out one after the other: each waits for the one before it, and
 * none begins before the row of its tracker, buffer or job is read. Used by the commands of these three rooms.
 */
import { condition } from '@temporalio/workflow';

export class Turns<Opened> {
  private last: Promise<unknown> = Promise.resolve();

  /**
   * @param opened the row, undefined until it is read
   * @param ended is called after each command, whatever came of it
   */
  constructor(
    private readonly opened: () => Opened | undefined,
    private readonly ended?: () => void,
  ) {}

  /** Carries out `command` when its turn has come. */
  take<T>(command: (opened: Opened) => Promise<T>): Promise<T> {
    const turn = this.last.then(async () => {
      await condition(() => this.opened() !== undefined);
      return command(this.opened()!);
    });
    const over = turn.catch(() => undefined);
    this.last = this.ended ? over.then(this.ended) : over;
    return turn;
  }
}
