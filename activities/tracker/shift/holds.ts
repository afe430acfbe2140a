/**
 * Upstreams that asked to be left alone: until when an operation, or a whole tracker, must not run. Set by
 * `operation.ts` from a HoldError, asked before every run. `told.ts` shares them with the other nodes by way of the
 * database, so that a restart knows them, and says when one was lifted. A budget that is shared between nodes would
 * stand behind this interface.
 */
import type { HoldRow } from '../store/told';
import { Health } from './patience';

export interface Holds {
  /** Until when, or 0; epoch milliseconds by the node's clock. */
  until(tracker: string, operation: string): number;
  /** @param operation undefined: the whole tracker */
  hold(tracker: string, operation: string | undefined, until: number, told?: { at: number; reason: string }): void;
  /** The same as `until`, for who asks before each run. */
  watch(tracker: string, operation: string): () => number;
  /** When holds were lifted by hand last, or 0: what was told before does not hold. */
  liftedAt(tracker: string, operation: string): number;
  /** Since when values count as fetched, for one id; 0: nobody has asked for them anew. */
  askedAt(tracker: string, operation: string, id: string): number;
  /** Whether an operation's runs succeed, over all pools of the node. */
  health(tracker: string, operation: string): Health;
}

/** Until when one scope is held. */
interface Hold {
  until: number;
  toldAt: number;
  reason: string;
  liftedAt: number;
  /** The database has not heard of it. */
  unsaved: boolean;
}

export class NodeHolds implements Holds {
  /**
   * By tracker, then by operation ('' for the whole): one for each that was ever asked about, as many as the config
   * has.
   */
  private readonly byTracker = new Map<string, Map<string, Hold>>();
  private readonly healths = new Map<string, Health>();
  /** `tracker/operation/id`, each '' for all. */
  private readonly asked = new Map<string, number>();

  until(tracker: string, operation: string): number {
    return this.watch(tracker, operation)();
  }

  watch(tracker: string, operation: string): () => number {
    const [whole, part] = [this.of(tracker, ''), this.of(tracker, operation)];
    return () => Math.max(whole.until, part.until);
  }

  hold(tracker: string, operation: string | undefined, until: number, told = { at: 0, reason: '' }): void {
    const hold = this.of(tracker, operation ?? '');
    if (until <= hold.until) return;
    Object.assign(hold, { until, toldAt: told.at, reason: told.reason, unsaved: true });
  }

  liftedAt(tracker: string, operation: string): number {
    return Math.max(this.of(tracker, '').liftedAt, this.of(tracker, operation).liftedAt);
  }

  /**
   * Takes a hold of any node, as the database has it. @returns true: it has been lifted since the last look, and more
   * may run.
   */
  adopt({ tracker, operation, until, toldAt, reason, liftedAt }: HoldRow): boolean {
    const hold = this.of(tracker, operation);
    const lifted = liftedAt !== null && liftedAt > hold.liftedAt;
    if (lifted) {
      hold.liftedAt = liftedAt;
      const scopes = operation === '' ? this.byTracker.get(tracker)!.values() : [hold];
      for (const one of scopes) if (one.toldAt <= liftedAt) Object.assign(one, { until: 0, unsaved: false });
    }
    const since = operation === '' ? hold.liftedAt : this.liftedAt(tracker, operation);
    if (until > hold.until && toldAt > since) Object.assign(hold, { until, toldAt, reason, unsaved: false });
    return lifted;
  }

  /** Holds that the database has not heard of; they count as saved from now on. */
  takeUnsaved(): HoldRow[] {
    const rows: HoldRow[] = [];
    for (const [tracker, holds] of this.byTracker) {
      for (const [operation, hold] of holds) {
        if (!hold.unsaved) continue;
        hold.unsaved = false;
        const { until, toldAt, reason } = hold;
        rows.push({ tracker, operation, until, toldAt, reason, liftedAt: null });
      }
    }
    return rows;
  }

  /** They could not be saved after all. */
  putBack(rows: readonly HoldRow[]): void {
    for (const { tracker, operation, until } of rows) {
      const hold = this.of(tracker, operation);
      if (hold.until === until) hold.unsaved = true;
    }
  }

  /** The holds that are in force. */
  *inForce(now: number): Iterable<{ tracker: string; operation: string; until: number }> {
    for (const [tracker, holds] of this.byTracker) {
      for (const [operation, { until }] of holds) if (until > now) yield { tracker, operation, until };
    }
  }

  askedAt(tracker: string, operation: string, id: string): number {
    if (this.asked.size === 0) return 0;
    let latest = 0;
    for (const which of [operation, '']) {
      for (const whose of [id, '']) latest = Math.max(latest, this.asked.get(keyOf(tracker, which, whose)) ?? 0);
    }
    return latest;
  }

  /** @returns true: it is a new one. */
  askAnew(tracker: string, operation: string, id: string, at: number): boolean {
    const key = keyOf(tracker, operation, id);
    if (at <= (this.asked.get(key) ?? 0)) return false;
    this.asked.set(key, at);
    return true;
  }

  health(tracker: string, operation: string): Health {
    const scope = `${tracker}/${operation}`;
    let health = this.healths.get(scope);
    if (!health) this.healths.set(scope, (health = new Health()));
    return health;
  }

  private of(tracker: string, operation: string): Hold {
    let holds = this.byTracker.get(tracker);
    if (!holds) this.byTracker.set(tracker, (holds = new Map<string, Hold>()));
    let hold = holds.get(operation);
    if (!hold) holds.set(operation, (hold = { until: 0, toldAt: 0, reason: '', liftedAt: 0, unsaved: false }));
    return hold;
  }
}

/** Names of trackers and operations have no slash. */
function keyOf(tracker: string, operation: string, id: string): string {
  return `${tracker}/${operation}/${id}`;
}
