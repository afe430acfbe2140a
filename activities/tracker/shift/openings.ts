/**
 * Whether the node should ask for shifts now: one answer for the shared queues, one for its own. Asked by the slot
 * supplier of the worker (`workers/`) before each poll, since a poll that is out brings what comes, wanted or not. The
 * node (`node.ts`) tells the facts each second, and whenever it takes or ends a shift.
 */

/** May the node take shifts of these queues now? */
export interface Opens {
  /** Pools that were born, or whose node died: of the shared queue, and of those of the node's labels. */
  readonly shared: boolean;
  /**
   * Pools that stay here, or that another node gives to this one. Also while it takes none: what was sent before the
   * others knew is handed on at once, and would wait otherwise until the shared queue has it (`ownQueueMs`).
   */
  readonly own: boolean;
}

/** The things that it depends on. */
export interface OpeningFacts {
  /** It has its name, and hears from PostgreSQL. */
  readonly able: boolean;
  /** Neither drained, nor told to end, nor behind or at its target while others have room for all that it may keep. */
  readonly roomy: boolean;
  /** No peer of a minute ago is expected back (`placement/cold-start.ts`), and its picture of the cluster is new. */
  readonly mayAsk: boolean;
}

export function opensOf({ able, roomy, mayAsk }: OpeningFacts): Opens {
  return { shared: able && roomy && mayAsk, own: able };
}

/** The answers, and who wants to know when they change. */
export class Openings {
  private now: Opens = { shared: false, own: false };
  private readonly listeners = new Set<() => void>();

  constructor(private readonly facts: () => OpeningFacts) {}

  /** Looked at anew: an answer of a second ago may be wrong where nothing was heard since. */
  get current(): Opens {
    this.look();
    return this.now;
  }

  /** @param changed called when an answer has become another one. @returns ends that */
  listen(changed: () => void): () => void {
    this.listeners.add(changed);
    return () => void this.listeners.delete(changed);
  }

  /** Something of the facts may have changed. */
  look(): void {
    const next = opensOf(this.facts());
    if (next.shared === this.now.shared && next.own === this.now.own) return;
    this.now = next;
    for (const changed of this.listeners) changed();
  }
}
