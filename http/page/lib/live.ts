/**
 * The live state: one snapshot, then what has changed, by server-sent events; after every break the snapshot again. It
 * says how old what it has is, and whether the stream is broken, so that nobody takes an old figure for a new one.
 * Started by `main.tsx`; read by pages with `useLive`.
 */
import { useEffect, useState } from 'preact/hooks';
import { hearTime } from './clock';
import { Rates } from './rates';
import type { State } from './state';

export interface Live {
  /** Undefined before the first snapshot. */
  state: State | undefined;
  /** `open`: events come; `connecting`: the first time; `broken`: it was lost, and is tried again. */
  stream: 'connecting' | 'open' | 'broken';
  /** When the last event came, by this browser's clock. */
  heardAt: number;
  /** Since when the stream is broken. */
  brokenAt: number | undefined;
  /** Why the server could not read the state just now; what is shown is what it read before. */
  problem: string | undefined;
  /** The answer of a server whose stream is broken; undefined: it does not answer. */
  words?: string;
}

/** The session, which is to know of breaks. */
interface Watcher {
  /** The server takes no stream: 401. @returns whether one is not let in any more */
  refused: () => Promise<boolean>;
  /** The stream is there again after a break: the server may be another one. */
  reopened: () => void;
}

/** The server says something at least each few seconds; older than this is shown as old. Milliseconds. */
export const OLD_MS = 10_000;
/** A browser that gives up (an answer that is not a stream) is told to try again. Milliseconds. */
const AGAIN_MS = 2_000;
/** An open stream that says nothing for so long has been cut without a word. Milliseconds. */
const SILENT_MS = 30_000;

const NOTHING: Live = { state: undefined, stream: 'connecting', heardAt: 0, brokenAt: undefined, problem: undefined };
let live = NOTHING;
/** When the server said anything, be it that it cannot read the state. */
let saidAt = 0;
export const rates = new Rates();
const listeners = new Set<() => void>();
let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

function change(next: Partial<Live>): void {
  if (next.stream === 'open') saidAt = Date.now();
  live = { ...live, ...next };
  for (const listener of listeners) listener();
}

/** Opens the stream; a second call closes the first one. */
export function connect(watcher: Watcher): void {
  disconnect();
  const opened = new EventSource('api/v1/stream');
  source = opened;
  opened.addEventListener('snapshot', (event) => {
    const wasBroken = live.stream === 'broken';
    heard(parsed<State>(event), true);
    if (wasBroken) watcher.reopened();
  });
  opened.addEventListener('delta', (event) => heard(live.state && { ...live.state, ...parsed<Partial<State>>(event) }));
  opened.addEventListener('ping', () => change({ stream: 'open', brokenAt: undefined }));
  opened.addEventListener('problem', (event) => {
    const { error } = parsed<{ error?: { message?: string } }>(event);
    change({ stream: 'open', brokenAt: undefined, problem: error?.message ?? 'the state could not be read' });
  });
  opened.addEventListener('error', () => {
    lost();
    if (opened.readyState !== EventSource.CLOSED) return;
    clearTimeout(timer);
    timer = setTimeout(() => void again(opened, watcher), AGAIN_MS);
  });
  watchSilence(opened, watcher);
}

/** @param words what it answered; undefined: the server does not answer */
export function lost(words?: string): void {
  change({ stream: 'broken', brokenAt: live.brokenAt ?? Date.now(), words });
}

/** The reader has signed out: the next one is shown nothing of theirs. */
export function forget(): void {
  rates.keepOnly(new Set());
  change(NOTHING);
}

async function again(opened: EventSource, watcher: Watcher): Promise<void> {
  const isRefused = await watcher.refused().catch(() => false);
  // Meanwhile the session may have ended, or have opened another one.
  if (source === opened && !isRefused) connect(watcher);
}

export function disconnect(): void {
  source?.close();
  source = undefined;
  clearTimeout(timer);
}

function watchSilence(opened: EventSource, watcher: Watcher): void {
  const look = setInterval(() => {
    if (source !== opened) return clearInterval(look);
    if (live.stream !== 'open' || Date.now() - saidAt < SILENT_MS) return;
    clearInterval(look);
    lost();
    connect(watcher);
  }, 5_000);
}

const parsed = <T>(event: Event): T => JSON.parse((event as MessageEvent<string>).data) as T;

function heard(state: State | undefined, isFirst = false): void {
  if (state) hearTime(Date.parse(state.at), Date.now(), isFirst);
  if (state && state !== live.state) note(state);
  change({ state, stream: 'open', heardAt: Date.now(), brokenAt: undefined, problem: undefined });
}

/** The counters of which pages show the rate. */
function note(state: State): void {
  const at = Date.parse(state.at);
  const names = new Set<string>();
  const counter = (name: string, value: number): void => {
    names.add(name);
    rates.note(name, at, value);
  };
  for (const tracker of state.status.trackers) {
    for (const operation of tracker.operations) {
      counter(`fetched ${tracker.name}.${operation.name}`, operation.fetched);
      counter(`failed ${tracker.name}.${operation.name}`, operation.failed);
    }
  }
  for (const buffer of state.status.buffers) {
    counter(`accepted ${buffer.name}`, buffer.accepted);
    counter(`done ${buffer.name}`, buffer.done);
  }
  rates.keepOnly(names);
}

export function useLive(): Live {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = (): void => draw((before) => before + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return live;
}
