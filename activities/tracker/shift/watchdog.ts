/**
 * Notices a stalled event loop while it is stalled. A thread of its own looks at a counter that the node's tick
 * raises; when that stands still, it says so on stderr, with the operation whose code was entered last, well before the
 * heartbeat timeout hands the shifts to another worker. (The stalled thread itself could only tell afterwards.)
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { Background } from '../../lib/service';

/** A tick that does not come for this long is a stall, milliseconds: a fifth of the default heartbeat timeout. */
const STALL_MS = 1_000;

/** Counters shared with the thread: ticks, index of the operation entered last, stalls seen. */
const TICKS = 0;
const OPERATION = 1;
const STALLS = 2;

/**
 * The thread, as text: it must run from compiled and from TypeScript sources alike, and needs nothing of the project.
 */
const THREAD = `
const { workerData, parentPort } = require('node:worker_threads');
const { shared, stallMs, node } = workerData;
const counters = new Int32Array(shared);
const pino = require(workerData.pino);
const log = pino({ name: 'watchdog', level: workerData.level }, pino.destination({ fd: 2, sync: true })).child({ node });
let names = [];
parentPort.on('message', (message) => { names = message; });
let seen = -1, since = Date.now(), told = false;
setInterval(() => {
  const ticks = Atomics.load(counters, 0);
  const now = Date.now();
  if (ticks !== seen) {
    if (told) log.warn({ stalledMs: now - since }, 'the event loop runs again');
    seen = ticks; since = now; told = false;
  } else if (!told && now - since >= stallMs) {
    told = true;
    Atomics.add(counters, 2, 1);
    log.error({ stalledMs: now - since, operation: names[Atomics.load(counters, 1)] },
      'the event loop is stalled: code that does not yield; mark its operation isolate');
  }
}, stallMs / 10);
`;

export class Watchdog extends Background {
  private readonly counters: Int32Array;
  private thread: Worker | undefined;
  private readonly indexes = new Map<string, number>();
  private lastTracker = '';
  private lastOperation = '';

  private readonly shared = new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT);

  constructor(
    private readonly node: string,
    private readonly log: Logger,
    private readonly stallMs = STALL_MS,
  ) {
    super();
    this.counters = new Int32Array(this.shared);
  }

  /** Watches from now on; the tick must be running. */
  protected open(): Promise<void> {
    const { shared, stallMs, node, log } = this;
    this.thread = new Worker(THREAD, {
      eval: true,
      workerData: { shared, stallMs, node, pino: require.resolve('pino'), level: log.level },
    });
    this.thread.unref();
    this.thread.on('error', (error) => log.warn({ err: error }, 'the watchdog has ended'));
    this.thread.postMessage([...this.indexes.keys()]);
    return Promise.resolve();
  }

  /** The event loop turns. */
  alive(): void {
    Atomics.add(this.counters, TICKS, 1);
  }

  /** An operation's code is about to run. */
  entering(tracker: string, operation: string): void {
    if (operation === this.lastOperation && tracker === this.lastTracker) return;
    this.lastTracker = tracker;
    this.lastOperation = operation;
    const name = `${tracker}/${operation}`;
    let index = this.indexes.get(name);
    if (index === undefined) {
      index = this.indexes.size;
      this.indexes.set(name, index);
      this.thread?.postMessage([...this.indexes.keys()]);
    }
    this.counters[OPERATION] = index;
  }

  get stalls(): number {
    return Atomics.load(this.counters, STALLS);
  }

  protected async close(): Promise<void> {
    await this.thread?.terminate();
  }
}
