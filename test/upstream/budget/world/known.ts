/**
 * Several nodes that ask one of the simulated upstreams of `examples/upstreams`: the ledger, the accounts and the
 * readers of headers are the real ones; only time and the network are played.
 */
import type { Asked, SimulatedUpstream as Example } from '../../../../examples/upstreams/server';
import { isThrottled, readLimits } from '../../../../activities/upstream/budget/headers';
import type { UpstreamLimit } from '../../../../activities/upstream/budget/spender';
import { Draws } from '../../../support/draws';
import { Events } from './events';
import { SimulatedLedger } from './ledger';
import { SimulatedNode, type Asks } from './node';
import type { Answered } from './upstream';

export interface KnownCase {
  limit: Pick<UpstreamLimit, 'rule' | 'format' | 'cost'>;
  make: (now: () => number, random: () => number) => Example;
  /** The next request, as its path, headers and body. */
  request: (draw: Draws) => { path: string; headers?: Record<string, string>; body?: unknown };
  /** Requests a second of all nodes, seconds. */
  demand: number;
  lasts: number;
}

export class KnownRun implements Asks {
  private readonly draw: Draws;
  private readonly events: Events;
  private readonly upstream: Example;
  readonly isConcurrent = false;
  asked = 0;
  refused = 0;
  spent = 0;
  standstill = 0;
  private lastAt: number;
  private readonly begin: number;

  constructor(
    private readonly of: KnownCase,
    seed: number,
    nodes: number,
  ) {
    this.draw = new Draws(seed);
    this.begin = 1.76e9 + this.draw.between(0, 1e6);
    this.events = new Events(this.begin);
    this.lastAt = this.begin;
    const { events, draw } = this;
    this.upstream = of.make(
      () => events.now,
      () => draw.next(),
    );
    const limit = of.limit.rule;
    const all: SimulatedNode[] = [];
    const around = {
      events,
      draw,
      limit,
      upstream: this,
      ledger: new SimulatedLedger(events, limit, false),
      nodes: all,
      window: 0,
    };
    const options = {
      demand: of.demand / nodes,
      places: 48,
      latency: () => 0.1,
      sigma: 0.8,
      timeout: 5,
      stuck: 0,
      tells: { window: false },
    };
    for (let i = 0; i < nodes; i++) all.push(new SimulatedNode(around, options));
  }

  live(): this {
    this.events.runUntil(this.begin + this.of.lasts);
    return this;
  }

  handle(): Answered {
    const { path, headers = {}, body } = this.of.request(this.draw);
    const url = new URL(path, 'http://upstream');
    const asked: Asked = {
      method: body === undefined ? 'GET' : 'POST',
      path: url.pathname,
      query: url.searchParams,
      header: (name) => headers[name],
      body,
    };
    const answer = this.upstream.answer(asked);
    this.upstream.done(asked, answer);
    this.asked++;
    const { now } = this.events;
    const head = { status: answer.status, header: (name: string) => answer.headers?.[name], body: answer.body };
    const { format } = this.of.limit;
    const [told] = format === null ? [] : readLimits(head, now, format);
    const isRefused =
      [420, 429].includes(answer.status) || answer.headers?.['retry-after'] !== undefined || isThrottled(answer.body);
    if (isRefused) this.refused++;
    const { limit } = this.of;
    const answered = { ...head, request: { method: asked.method, path } };
    const cost = isRefused ? 0 : (limit.cost(answered) ?? limit.rule.greatestCost);
    this.spent += cost;
    this.standstill = Math.max(this.standstill, now - this.lastAt);
    this.lastAt = now;
    const retryAfter = isRefused ? Number(answer.headers?.['retry-after'] ?? 1) : undefined;
    return { status: answer.status, cost, retryAfter, ...told };
  }

  leave(): void {}
}
