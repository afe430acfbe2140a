/**
 * Timers of the simulated world: code that calls `setTimeout` and `setImmediate` while a history lives waits for the
 * world's time, and a timer of a process that is frozen fires when that wakes up.
 */
import type { Events } from './events';

/** A process whose code sets timers. */
export interface Process {
  /** Runs it now, or when the process is awake again; never once it is dead. */
  awake(run: () => void): void;
}

let current: Process | undefined;

/** Timers that this code sets are that process's. */
export function as<T>(process: Process, run: () => T): T {
  const before = current;
  current = process;
  try {
    return run();
  } finally {
    current = before;
  }
}

/** Lives a history whose timers are events. */
export function withTimersOf<T>(events: Events, live: () => T): T {
  const { setTimeout, clearTimeout, setImmediate, clearImmediate } = globalThis;
  const cancelled = new WeakSet<object>();
  const after = (seconds: number, run: () => void): object => {
    const process = current;
    const timer = { unref: () => timer };
    const fire = (): void => {
      if (!cancelled.has(timer)) run();
    };
    events.after(seconds, () => (process ? process.awake(fire) : fire()));
    return timer;
  };
  const cancel = (timer: unknown): void => void (typeof timer === 'object' && timer && cancelled.add(timer));
  Object.assign(globalThis, {
    setTimeout: (run: () => void, ms = 0) => after(ms / 1_000, run),
    setImmediate: (run: () => void) => after(0, run),
    clearTimeout: cancel,
    clearImmediate: cancel,
  });
  try {
    return live();
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout, setImmediate, clearImmediate });
  }
}
