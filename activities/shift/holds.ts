/**
 * Upstreams that asked to be left alone: until when an operation, or a whole tracker, must not run on this node.
 * Set by `operation.ts` from a HoldError, asked before every run. A budget that is shared between nodes would
 * stand behind this interface.
 */
export interface Holds {
  /** Until when, or 0; epoch milliseconds by the node's clock. */
  until(tracker: string, operation: string): number;
  hold(tracker: string, operation: string | undefined, until: number): void;
}

export class NodeHolds implements Holds {
  private readonly byScope = new Map<string, number>();

  until(tracker: string, operation: string): number {
    if (this.byScope.size === 0) return 0;
    return Math.max(this.byScope.get(tracker) ?? 0, this.byScope.get(`${tracker}/${operation}`) ?? 0);
  }

  hold(tracker: string, operation: string | undefined, until: number): void {
    const scope = operation === undefined ? tracker : `${tracker}/${operation}`;
    if (until > (this.byScope.get(scope) ?? 0)) this.byScope.set(scope, until);
  }
}
