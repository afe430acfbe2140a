/**
 * The pool of a shift is given to another node: told by the node (`placing.ts`), carried out by whoever watches for the
 * shift's end (`end-watch.ts`), which may begin to watch later.
 */
export class GivenAway {
  /** How the shift is to end, and how long it may wait for its runs; undefined: the pool stays. */
  to: { readonly how: 'moved' | 'handed back'; readonly withinMs: number } | undefined;
  private told: (() => void) | undefined;

  /** Ends the shift when its runs have ended. */
  give(how: 'moved' | 'handed back', withinMs: number): void {
    this.to = { how, withinMs };
    this.told?.();
  }

  /** @param told called when it is given away, at once where that has been. undefined: nobody watches any more */
  watch(told: (() => void) | undefined): void {
    this.told = told;
    if (this.to) told?.();
  }
}
