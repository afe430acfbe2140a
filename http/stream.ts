/**
 * The state as server-sent events: one snapshot, then what has changed; after a reconnect the snapshot again. It is
 * read once a second for all who listen, and not at all while nobody does, so statements do not grow with the number of
 * pages. A reader that is slow is not waited for: it misses changes, and gets the snapshot when it has caught up. Used
 * by `app.ts`, one for a dashboard.
 *
 * Events: `snapshot` and `delta` (their data is JSON), `problem` (the state could not be read; as an answer's body),
 * `ping` (nothing else was said for some seconds).
 */
import { TimedOutError } from '../client/errors';
import type { Longwatch } from '../client/longwatch';
import { failureOf } from './problems';
import { LatestDiagnosis } from './latest-diagnosis';
import { deltaOf, readState, snapshotOf, tell, type Told } from './state';

const EVERY_MS = 1_000;
/** Between the end of a reading and the next one, at least: a database that is slow gets a rest. */
const REST_MS = 250;
/** Proxies cut what is silent. */
const PING_MS = 5_000;
/**
 * Bytes that a reader may be behind, and one event more. All of it is kept for it, by a thousand readers a thousand
 * times, for as long as it does not read: a laptop that sleeps, say.
 */
const BEHIND_BYTES = 64 * 1024;
/** Readers at once: each costs memory, and a token is not a right to all of it. */
const MOST_READERS = 1_000;
/** Then it comes again, and is asked again who it is. */
const LIFE_MS = 15 * 60_000;

interface Reader {
  controller: ReadableStreamDefaultController<Uint8Array>;
  since: number;
  /** The state that it has. Undefined: the snapshot is next. */
  has?: Told;
}

/** The state of one reading, as it is told. */
interface Reading {
  state: Told;
  /** Its events by what their readers had before; undefined: the snapshot. Each is written once for all readers. */
  events: Map<Told | undefined, Uint8Array>;
}

const NO_ANSWER = new TimedOutError('the database has not answered for some seconds; what is shown is old');

const encoder = new TextEncoder();
const eventOf = (name: string, data: string): Uint8Array => encoder.encode(`event: ${name}\ndata: ${data}\n\n`);

export class StateStream {
  private readonly readers = new Set<Reader>();
  private readonly diagnosis: LatestDiagnosis;
  private next?: NodeJS.Timeout;
  private pings?: NodeJS.Timeout;
  /** When the reading that is under way began. */
  private readingSince?: number;
  private last?: Reading;
  private closed = false;
  private saidAt = 0;

  constructor(
    private readonly longwatch: Longwatch,
    private readonly onUnexpected: (error: unknown) => void,
  ) {
    this.diagnosis = new LatestDiagnosis(longwatch, onUnexpected);
  }

  /** A reader more. Undefined: there are too many, or it was closed. */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.closed || this.readers.size >= MOST_READERS) return undefined;
    let reader: Reader;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          reader = { controller, since: performance.now() };
          controller.enqueue(encoder.encode('retry: 1000\n\n'));
          this.join(reader);
        },
        cancel: () => this.leave(reader),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BEHIND_BYTES }),
    );
  }

  /** Ends all of them. */
  close(): void {
    this.closed = true;
    for (const reader of [...this.readers]) this.end(reader);
  }

  private join(reader: Reader): void {
    this.readers.add(reader);
    this.pings ??= setInterval(() => this.ping(), PING_MS);
    // The reading of this second is told at once; else one begins, or is under way.
    if (this.next !== undefined && this.last) this.send(reader, this.last);
    else if (this.next === undefined && this.readingSince === undefined) void this.read();
  }

  private end(reader: Reader): void {
    this.leave(reader);
    reader.controller.close();
  }

  private leave(reader: Reader): void {
    this.readers.delete(reader);
    if (this.readers.size > 0) return;
    clearTimeout(this.next);
    clearInterval(this.pings);
    this.next = this.pings = undefined;
  }

  private async read(): Promise<void> {
    const began = performance.now();
    this.readingSince = began;
    try {
      const state = tell(await readState(this.longwatch, this.diagnosis.get()));
      this.last = { state, events: new Map() };
      this.tellAll(this.last);
    } catch (error) {
      const { body, unexpected } = failureOf(error);
      if (unexpected) this.onUnexpected(error);
      this.sayAll(eventOf('problem', JSON.stringify(body)));
    } finally {
      this.readingSince = undefined;
    }
    if (this.readers.size === 0) return;
    const waitMs = Math.max(REST_MS, EVERY_MS - (performance.now() - began));
    this.next = setTimeout(() => {
      this.next = undefined;
      void this.read();
    }, waitMs);
  }

  private tellAll(reading: Reading): void {
    for (const reader of [...this.readers]) {
      if (performance.now() - reader.since > LIFE_MS) this.end(reader);
      else this.send(reader, reading);
    }
    this.saidAt = performance.now();
  }

  private send(reader: Reader, { state, events }: Reading): void {
    const { controller, has } = reader;
    const isBehind = (controller.desiredSize ?? 0) <= 0;
    reader.has = isBehind ? undefined : state;
    if (isBehind) return;
    const event =
      events.get(has) ?? (has ? eventOf('delta', deltaOf(has, state)) : eventOf('snapshot', snapshotOf(state)));
    events.set(has, event);
    controller.enqueue(event);
  }

  /** A reading that takes so long may never end: the network may have swallowed it. */
  private ping(): void {
    const now = performance.now();
    if (now - this.saidAt < PING_MS) return;
    const hangs = this.readingSince !== undefined && now - this.readingSince >= PING_MS;
    this.sayAll(hangs ? eventOf('problem', JSON.stringify(failureOf(NO_ANSWER).body)) : eventOf('ping', '{}'));
  }

  private sayAll(event: Uint8Array): void {
    for (const { controller } of this.readers) if ((controller.desiredSize ?? 0) > 0) controller.enqueue(event);
    this.saidAt = performance.now();
  }
}
