/**
 * Things by their names, of which only those that were asked for lately are kept: a server is asked for ever more
 * names, also for such as nobody has. Used by `longwatch.ts`, `member/post.ts` and the HTTP API.
 */
export class Recent<T> {
  private readonly known = new Map<string, T>();

  /**
   * @param most so many are kept
   * @param mayGo whether it may be forgotten now; one that has work in hand may not. @default always
   */
  constructor(
    private readonly most: number,
    private readonly mayGo: (thing: T) => boolean = () => true,
  ) {}

  /** The same one for the same name, as long as it is kept. */
  get(name: string, make: () => T): T {
    const found = this.known.get(name);
    const thing = found ?? make();
    this.known.delete(name);
    this.known.set(name, thing);
    if (this.known.size > this.most) this.forgetOne(name);
    return thing;
  }

  /** All that are kept. */
  all(): T[] {
    return [...this.known.values()];
  }

  /** The one that was asked for the longest ago, of those that may go. */
  private forgetOne(but: string): void {
    for (const [name, thing] of this.known) {
      if (name === but || !this.mayGo(thing)) continue;
      this.known.delete(name);
      return;
    }
  }
}
