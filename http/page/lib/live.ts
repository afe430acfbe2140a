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
  stream: 'connecting' | 'open' | 'broken' | 'refused';
  /** When the last event came, by this browser's clock. */
  heardAt: number;
  /** Since when the stream is broken. */
  brokenAt: number | undefined;
  /** Why the server could not read the state just now; what is shown is what it read before. */
  problem: string | undefined;
}

/** The server says something at least each few seconds; older than this is shown as old. Milliseconds. */
export const OLD_MS = 10_000;
/** A browser that gives up (an answer that is not a stream) is told to try again. Milliseconds. */
const AGAIN_MS = 2_000;
/** An open stream that says nothing for so long has been cut without a word. Milliseconds. */
const SILENT_MS = 30_000;

let live: Live = { state: undefined, stream: 'connecting', heardAt: 0, brokenAt: undefined, problem: undefined };
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

/** Opens the stream; a second call closes the first one. @param refused asked when the server takes no stream: 401 */
export function connect(refused: () => Promise<boolean>): void {
  disconnect();
  const opened = new EventSource('api/v1/stream');
  source = opened;
  opened.addEventListener('snapshot', (event) => heard(parsed<State>(event), true));
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
    timer = setTimeout(() => void again(refused), AGAIN_MS);
  });
  watchSilence(opened, refused);
}

/** The server does not answer. */
export function lost(): void {
  change({ stream: 'broken', brokenAt: live.brokenAt ?? Date.now() });
}

async function again(refused: () => Promise<boolean>): Promise<void> {
  if (await refused().catch(() => false)) change({ stream: 'refused' });
  else connect(refused);
}

export function disconnect(): void {
  source?.close();
  source = undefined;
  clearTimeout(timer);
}

function watchSilence(opened: EventSource, refused: () => Promise<boolean>): void {
  const look = setInterval(() => {
    if (source !== opened) return clearInterval(look);
    if (live.stream !== 'open' || Date.now() - saidAt < SILENT_MS) return;
    clearInterval(look);
    lost();
    connect(refused);
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
