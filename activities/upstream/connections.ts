/**
 * The connections of an upstream: a call goes to an idle one, or waits in line for the first that becomes idle. Used by
 * `http.ts`. undici's own pool looks through all of its connections for each request, which at some hundreds of them costs
 * more than the rest of a fetch's bookkeeping.
 */
import { Client, errors, type Dispatcher } from 'undici';

/** A call as far as its connection is concerned. */
export interface Sendable extends Dispatcher.DispatchHandlers {
  readonly request: Dispatcher.DispatchOptions;
  /** It has ended while it waited: it is not sent. */
  readonly settled: boolean;
  /** Called when the call's connection was found; the call must `release` it once, at undici's last word on it. */
  connection: Client | undefined;
  onError(error: Error): void;
}

export class Connections {
  private readonly all: Client[] = [];
  private readonly idle: Client[] = [];
  private waiting: Sendable[] = [];
  /** Where the line of those who wait begins. */
  private head = 0;
  private closed = false;

  constructor(
    private readonly origin: string,
    private readonly limit: number,
  ) {}

  send(call: Sendable): void {
    if (this.closed) {
      call.onError(new errors.ClientClosedError());
      return;
    }
    const client = this.idle.pop() ?? (this.all.length < this.limit ? this.open() : undefined);
    if (client) this.dispatch(client, call);
    else this.waiting.push(call);
  }

  /** undici has said its last word on a call: its connection takes the next one. */
  release(client: Client): void {
    while (this.head < this.waiting.length) {
      const call = this.waiting[this.head]!;
      if (++this.head === this.waiting.length) this.emptyLine();
      if (call.settled) continue;
      this.dispatch(client, call);
      return;
    }
    this.idle.push(client);
  }

  /** What is under way and what waits fails. */
  async close(): Promise<void> {
    this.closed = true;
    const waiting = this.waiting.slice(this.head);
    this.emptyLine();
    for (const call of waiting) call.onError(new errors.ClientClosedError());
    await Promise.all(this.all.map((client) => client.destroy()));
  }

  private open(): Client {
    const client = new Client(this.origin, {
      pipelining: 1,
      // The deadline list sees to both: one timer for all calls, and a slow drip does not reset it.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.all.push(client);
    return client;
  }

  private dispatch(client: Client, call: Sendable): void {
    call.connection = client;
    try {
      client.dispatch(call.request, call);
    } catch (error) {
      call.onError(error as Error);
    }
  }

  private emptyLine(): void {
    this.waiting = [];
    this.head = 0;
  }
}
