/**
 * The dispatcher's side of an upstream's limits, for one operation of a pool: before a member's run it takes what the
 * run usually costs from every bucket that it spends from. A member whose bucket has nothing is parked in that bucket's
 * line until it has; everybody else goes on. Asked by `operation.ts`; what was taken goes to the run (`run.ts` of
 * `activities/upstream/spend`), which gives back what it did not need.
 *
 * Nothing here looks through those who wait: the line wakes them one after another, and whoever is woken takes at once.
 */
import { RunSpending } from '../../upstream/spend/run';
import type { Purse, Shortage, Spender, Waiter } from '../../upstream/budget/spender';
import { definitionOf } from '../../../config/define/upstream';
import type { Clock } from './clock';
import type { Operation, OperationSetup } from './host';
import type { Members } from './members';

/**
 * A run that was cut short comes again no sooner, whatever its bucket has: its code may remember the refusal.
 * Milliseconds.
 */
const AGAIN_MS = 200;

/** A member that waits for a bucket. */
interface Waiting {
  shortage: Shortage;
  since: number;
  leave: () => void;
}

/** For `status` and `show`: a member that a bucket holds back. */
export interface HeldBack {
  slot: number;
  shortage: Shortage;
  since: number;
  /** When it is worth asking again, as it looks now; undefined: only the line knows. */
  until: number | undefined;
}

export interface BudgetedSetup {
  /** `room`: runs that it could start now. */
  loop: Pick<Operation, 'tracker' | 'name' | 'agenda'> & { readonly members: Members; readonly room: number };
  host: { clock: Pick<Clock, 'now'>; spender: Spender };
  upstream: string;
  /** The shift's own buckets of its members. */
  purse: Purse | undefined;
  /** Somebody is ready who was not. */
  touch: () => void;
}

export class Budgeted {
  private readonly waiting = new Map<number, Waiting>();
  /** Woken, with what their runs need; their turn in the ring comes at once. */
  private readonly woken = new Map<number, RunSpending>();
  /** Members whose last run lacked tokens of another upstream than the operation's: the next one takes those too. */
  private readonly besides = new Map<number, string>();

  constructor(private readonly setup: BudgetedSetup) {}

  /**
   * Before a run of a member that the agenda handed out.
   * @returns undefined: a bucket has nothing, and the member waits in its line
   * @throws what a key function of the user's throws: the run has failed
   */
  take(slot: number): RunSpending | undefined {
    const woken = this.woken.get(slot);
    if (woken) {
      this.woken.delete(slot);
      return woken;
    }
    const taken = this.reserve(slot);
    if (taken instanceof RunSpending) return taken;
    this.setup.loop.agenda.park(slot);
    this.wait(slot, taken, this.setup.host.clock.now());
    return undefined;
  }

  /**
   * A run was cut short and has ended. Its member comes again when there may be something; what it lacked is taken
   * before its next run, so it stands in that bucket's line then, where there is nothing still.
   */
  cutShort(slot: number, { upstream, waitMs }: Shortage, now: number): void {
    const { loop, touch } = this.setup;
    if (upstream !== this.setup.upstream) this.besides.set(slot, upstream);
    loop.agenda.askAnew([slot], now + Math.max(AGAIN_MS, Number.isFinite(waitMs) ? waitMs : 0), 1);
    touch();
  }

  /** Members that wait, longest first within a bucket. */
  *heldBack(): Iterable<HeldBack> {
    const now = this.setup.host.clock.now();
    for (const [slot, { shortage, since }] of this.waiting) {
      const { waitMs } = shortage;
      yield { slot, shortage, since, until: Number.isFinite(waitMs) ? now + waitMs : undefined };
    }
  }

  get size(): number {
    return this.waiting.size;
  }

  /** The member has left. */
  leave(slot: number): void {
    this.waiting.get(slot)?.leave();
    this.besides.delete(slot);
    this.waiting.delete(slot);
    this.woken.get(slot)?.end();
    this.woken.delete(slot);
  }

  /** The shift is over. */
  close(): void {
    for (const { leave } of this.waiting.values()) leave();
    this.waiting.clear();
    this.giveBack();
  }

  /** The operation stands still: runs that were to begin give back what was taken for them. */
  giveBack(): void {
    for (const spending of this.woken.values()) spending.end();
    this.woken.clear();
  }

  private reserve(slot: number): RunSpending | Shortage {
    const { loop, host, upstream, purse } = this.setup;
    const spending = new RunSpending(host.spender, {
      class: 'watch',
      by: `${loop.tracker}/${loop.name}`,
      id: loop.members.id(slot),
      purse,
      slot,
    });
    const besides = this.besides.get(slot);
    const shortage = spending.reserve(upstream) ?? (besides === undefined ? undefined : spending.reserve(besides));
    if (shortage === undefined) {
      this.besides.delete(slot);
      return spending;
    }
    // All or none: what is held and cannot be used is somebody else's.
    spending.end();
    return shortage;
  }

  private wait(slot: number, shortage: Shortage, since: number): void {
    const waiter: Waiter = { class: 'watch', requests: 1, wake: () => this.wake(slot, since) };
    const entry: Waiting = { shortage, since, leave: () => undefined };
    this.waiting.set(slot, entry);
    entry.leave = shortage.join(waiter);
  }

  /** Its bucket may have something. */
  private wake(slot: number, since: number): void {
    this.waiting.delete(slot);
    const { loop, host, touch } = this.setup;
    // It takes nothing that it could not use now: others may want it.
    if (this.woken.size < loop.room) {
      try {
        const taken = this.reserve(slot);
        if (!(taken instanceof RunSpending)) return this.wait(slot, taken, since);
        this.woken.set(slot, taken);
      } catch {
        // Its run meets the same error, and fails with it.
      }
    }
    loop.agenda.unpark(slot, host.clock.now(), this.woken.has(slot));
    touch();
  }
}

/** Undefined: the operation asks no upstream that has limits. */
export function budgetedOf(
  loop: BudgetedSetup['loop'],
  { definition, host, shift }: OperationSetup,
  touch: () => void,
): Budgeted | undefined {
  const upstream = definitionOf(definition.upstream);
  const { spender } = host;
  if (!upstream || !spender || Object.keys(upstream.limits ?? {}).length === 0) return undefined;
  return new Budgeted({
    loop,
    host: { clock: host.clock, spender },
    upstream: upstream.name,
    purse: shift.purse,
    touch,
  });
}
