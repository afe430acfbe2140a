/**
 * Upstreams that asked to be left alone: until when an operation, or a whole tracker, must not run on this node.
 * Set by `operation.ts` from a HoldError, asked before every run. A budget that is shared between nodes would
 * stand behind this interface.
 */
import { Health } from './patience';

export interface Holds {
  /** Until when, or 0; epoch milliseconds by the node's clock. */
  until(tracker: string, operation: string): number;
  hold(tracker: string, operation: string | undefined, until: number): void;
  /** The same as `until`, for who asks before each run. */
  watch(tracker: string, operation: string): () => number;
  /** Whether an operation's runs succeed, over all pools of the node. */
  health(tracker: string, operation: string): Health;
}

/** Until when one scope is held. */
interface Hold {
  until: number;
}

export class NodeHolds implements Holds {
  /** One for each operation and tracker that was ever asked about: as many as the config has. */
  private readonly byScope = new Map<string, Hold>();
  private readonly healths = new Map<string, Health>();

  until(tracker: string, operation: string): number {
    return this.watch(tracker, operation)();
  }

  watch(tracker: string, operation: string): () => number {
    const [whole, part] = [this.of(tracker), this.of(`${tracker}/${operation}`)];
    return () => Math.max(whole.until, part.until);
  }

  hold(tracker: string, operation: string | undefined, until: number): void {
    const hold = this.of(operation === undefined ? tracker : `${tracker}/${operation}`);
    hold.until = Math.max(hold.until, until);
  }

  health(tracker: string, operation: string): Health {
    const scope = `${tracker}/${operation}`;
    let health = this.healths.get(scope);
    if (!health) this.healths.set(scope, (health = new Health()));
    return health;
  }

  private of(scope: string): Hold {
    let hold = this.byScope.get(scope);
    if (!hold) this.byScope.set(scope, (hold = { until: 0 }));
    return hold;
  }
}
