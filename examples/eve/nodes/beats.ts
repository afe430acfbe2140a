/**
 * The upstream of the nodes: it answers at once, and keeps for each id when it was asked for last and by whom. Its word
 * is what counts: a node that was frozen or cut off knows nothing of what it missed.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Standstill } from '../../../test/support/standstill';
import { EVERY_MS, NODE_HEADER } from './settings';
import type { Gap } from './gaps';

/** Later than that is worth a note. Milliseconds. */
const NOTED_MS = 500;

interface Beat {
  n: number;
  at: number;
  node: string;
  longestMs: number;
  /** As `Standstill.look` said it then. */
  stoodMs: number;
}

export class Beats {
  private readonly ids = new Map<string, Beat>();
  private readonly server = http.createServer((request, response) => this.answer(request, response));
  /** The times without a request that are longer than they are on a good day. */
  readonly gaps: Gap[] = [];
  requests = 0;
  private readonly standstill = new Standstill({ everyMs: 25, mostMs: 100 });
  /** The measuring begins here: what was before it, the start and the adding, is not a gap. */
  private since = Infinity;
  private stoodBefore = 0;

  /** @param host the address of this machine that it listens on. @returns where it is asked from this machine */
  async start(host: string): Promise<string> {
    this.server.keepAliveTimeout = 60_000;
    this.standstill.start();
    await new Promise<void>((listening) => this.server.listen(0, host, listening));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get size(): number {
    return this.ids.size;
  }

  begin(now: number): void {
    this.since = now;
    this.stoodBefore = this.standstill.look();
    this.requests = 0;
    for (const beat of this.ids.values()) beat.longestMs = 0;
  }

  /** Ids that nobody asks for any more show as gaps as well. */
  end(now: number): void {
    for (const [id, beat] of this.ids) this.look(id, beat, now, '');
    this.since = Infinity;
  }

  /** @returns the longest times between two requests for one id, of all ids, in order */
  longest(): number[] {
    return [...this.ids.values()].map(({ longestMs }) => longestMs).sort((a, b) => a - b);
  }

  /** Milliseconds of the measured time in which this process stood still, with its machine. */
  get stoodStillMs(): number {
    return Math.round(this.standstill.look() - this.stoodBefore);
  }

  close(): Promise<void> {
    this.standstill.stop();
    this.server.closeAllConnections();
    return new Promise((closed) => this.server.close(() => closed()));
  }

  private answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const [, route, id] = (request.url ?? '').split('/');
    if (route !== 'beat' || id === undefined) {
      response.writeHead(404).end();
      return;
    }
    const node = String(request.headers[NODE_HEADER] ?? '');
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{"n":${this.note(id, node, Date.now())}}`);
  }

  private note(id: string, node: string, now: number): number {
    this.requests++;
    const beat = this.ids.get(id);
    if (beat === undefined) {
      this.ids.set(id, { n: 1, at: now, node, longestMs: 0, stoodMs: this.standstill.look() });
      return 1;
    }
    this.look(id, beat, now, node);
    beat.at = now;
    beat.node = node;
    beat.stoodMs = this.standstill.look();
    return ++beat.n;
  }

  private look(id: string, beat: Beat, now: number, node: string): void {
    const from = Math.max(beat.at, this.since);
    const ms = now - from;
    if (ms > beat.longestMs) beat.longestMs = ms;
    if (ms <= EVERY_MS + NOTED_MS) return;
    const stoodMs = this.standstill.look() - Math.max(beat.stoodMs, this.stoodBefore);
    const stoodStillMs = Math.min(ms, Math.round(stoodMs));
    this.gaps.push({ id, from, to: now, before: beat.node, after: node, stoodStillMs });
  }
}
