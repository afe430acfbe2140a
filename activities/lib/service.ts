/**
 * One life for everything that works in the background of a process: timers, connections, servers, threads. Code that
 * runs several of them holds a list (`Services`), which starts in order and stops in reverse: `workers/worker.ts`,
 * `longwatch dev` and the stack of the tests.
 */

/**
 * Both are harmless twice. `stop` is harmless before `start` and while `start` is under way. A service has one life:
 * after `stop`, `start` does nothing.
 */
export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A service by its two ends: `open` runs at most once, and `close` at most once after it. */
export abstract class Background implements Service {
  private opened: Promise<void> | undefined;
  private closed: Promise<void> | undefined;
  private stopping = false;

  async start(): Promise<void> {
    if (this.stopping) return;
    this.opened ??= this.open();
    await this.opened;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.closed ??= this.end();
    await this.closed;
  }

  /** Also while `open` is still under way: it may look here whether to go on. */
  protected get isStopping(): boolean {
    return this.stopping;
  }

  protected abstract open(): Promise<void>;

  /** Runs when `open` has ended, also where it failed half-way. */
  protected abstract close(): Promise<void>;

  /** Breaks off an `open` that may hang. It runs before `stop` waits for `open`. */
  protected interrupt(): void {
    // Most need not: what they wait for has a time limit.
  }

  private async end(): Promise<void> {
    if (this.opened === undefined) return;
    this.interrupt();
    await this.opened.catch(() => undefined);
    await this.close();
  }
}

/** A service of two functions, for what has no class of its own. Without `start` it is open already. */
export function service(life: { start?: () => Promise<unknown>; stop?: () => Promise<unknown> }): Service {
  return new (class extends Background {
    protected async open(): Promise<void> {
      await life.start?.();
    }
    protected async close(): Promise<void> {
      await life.stop?.();
    }
  })();
}

/** Services in the order of their start; each may use those before it. They stop in reverse. */
export class Services implements Service {
  private readonly begun: Service[] = [];
  private beginning: Service | undefined;
  private starting: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  /**
   * @param list what `start` starts.
   * @param patienceMs one that takes longer to stop is left behind. @default each is waited for
   */
  constructor(
    private readonly list: readonly Service[] = [],
    private readonly patienceMs?: number,
  ) {}

  /** @throws the error of the one that could not start, once it and those before it have stopped. */
  async start(): Promise<void> {
    if (this.stopping) return;
    this.starting ??= this.startAll();
    await this.starting;
  }

  /** Starts one more, which is the first to stop. @throws as `start` does. */
  async add<S extends Service>(one: S): Promise<S> {
    this.begun.push(one);
    this.beginning = one;
    try {
      await one.start();
    } catch (error) {
      await this.stopBegun().catch(() => undefined);
      throw error;
    } finally {
      this.beginning = undefined;
    }
    return one;
  }

  /** @throws the first error of those that could not be stopped, once all others have stopped. */
  async stop(): Promise<void> {
    this.stopping ??= this.stopAll();
    await this.stopping;
  }

  private async startAll(): Promise<void> {
    for (const one of this.list) {
      if (this.stopping) return;
      await this.add(one);
    }
  }

  private async stopAll(): Promise<void> {
    // A start that is under way may hang; it must end before those stop that it uses.
    this.beginning?.stop().catch(() => undefined);
    await within(
      this.starting?.catch(() => undefined),
      this.patienceMs,
    );
    await this.stopBegun();
  }

  private async stopBegun(): Promise<void> {
    const failures: unknown[] = [];
    for (let one = this.begun.pop(); one; one = this.begun.pop()) {
      await within(one.stop(), this.patienceMs).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Its end, or that it takes too long. */
async function within(ending: Promise<void> | undefined, limitMs: number | undefined): Promise<void> {
  if (limitMs === undefined || ending === undefined) return ending;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)));
  // One that was left behind may fail later, with nobody to tell.
  ending.catch(() => undefined);
  await Promise.race([ending, late]).finally(() => clearTimeout(timer));
}
