/**
 * PostgreSQL away for a minute, far longer than parts last and what is late: nodes with the real spender over a ledger
 * in memory, and an upstream that counts each request by itself.
 */
import { ownUsed } from '../../../../activities/upstream/budget/ledger/own';
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import { answer } from './kit';
import { ledger, limit, renewAll, REQUEST, sent, spenderNamed, time, USE, waiterOf } from './memory';

const TOKENS = 600;
const WINDOW = 60;
const all = limit('all', { tokens: TOKENS, window: WINDOW });

/** Two nodes. */
class Nodes {
  readonly of: readonly NodeSpender[];
  isAway = false;
  /** Each wants one request in so many tenths of a second; 0: always more than there is. */
  every = 0;
  /** When each request came, as the upstream sees it. */
  readonly requests: number[] = [];
  private leaves: (() => void)[] = [];

  constructor() {
    this.of = ['a', 'b'].map((name) => spenderNamed(name, all));
  }

  /** So many seconds. @returns the requests of each */
  pass(seconds: number): number[] {
    return Array.from({ length: seconds }, () => {
      const before = this.requests.length;
      for (let tenth = 0; tenth < 10; tenth++) {
        time.now += 0.1;
        if (tenth === 0) for (const node of this.of) this.renew(node);
        for (const leave of this.leaves.splice(0)) leave();
        if (this.every > 0 && tenth % this.every !== 0) continue;
        for (const node of this.of) this.spend(node);
      }
      return this.requests.length - before;
    });
  }

  private renew(node: NodeSpender): void {
    node.beat();
    if (!this.isAway) return renewAll(node);
    for (const bucket of node.shared) bucket.granted(bucket.renewal(), undefined);
  }

  private spend(node: NodeSpender): void {
    for (;;) {
      const run = node.reserve('up', USE, 1);
      if (run.isShort) {
        this.leaves.push(run.join(waiterOf({ requests: 20 })));
        return;
      }
      const spend = sent(run.draw(REQUEST));
      run.end();
      this.requests.push(time.now);
      spend.report(answer());
      if (this.every > 0) return;
    }
  }

  /** Requests of the window that ends now. */
  get inWindow(): number {
    return this.requests.filter((at) => at > time.now - WINDOW).length;
  }

  /** Requests that the upstream would have refused. */
  get refused(): number {
    return this.requests.filter((at, i) => {
      const first = this.requests.findIndex((one) => one > at - WINDOW);
      return i - first + 1 > TOKENS;
    }).length;
  }

  close(): void {
    for (const node of this.of) node.close();
  }
}

const sum = (counts: number[]): number => counts.reduce((all, one) => all + one, 0);

test('what is in hand is spent within five seconds and nothing after that; with its return all goes on, and nothing is counted twice', () => {
  const nodes = new Nodes();
  nodes.pass(60);
  nodes.every = 3;
  nodes.pass(30);
  nodes.isAway = true;
  const away = nodes.pass(60);
  expect(sum(away.slice(0, 5))).toBeGreaterThan(0);
  expect(sum(away.slice(6))).toBe(0);
  nodes.isAway = false;
  nodes.every = 0;
  expect(sum(nodes.pass(2))).toBeGreaterThan(0);
  // Tokens that may have been spent unseen were told at once, and hold back nothing.
  const minutes = [1, 2, 3].map(() => sum(nodes.pass(60)));
  for (const spent of minutes) expect(spent).toBeGreaterThan(0.9 * TOKENS);
  expect(nodes.refused).toBe(0);
  const row = ledger.get('all/one')!;
  // A slot, and a second that was not told yet.
  expect(Math.abs(ownUsed(row, all.rule) - nodes.inWindow)).toBeLessThan((1.5 * TOKENS) / WINDOW + 5);
  nodes.close();
});

test('it is away again and again, each time for longer than a part lasts: never above the limit', () => {
  const nodes = new Nodes();
  for (let i = 0; i < 12; i++) {
    nodes.isAway = false;
    nodes.pass(3 + i);
    nodes.isAway = true;
    nodes.pass(20 - i);
  }
  nodes.isAway = false;
  nodes.pass(60);
  expect(nodes.refused).toBe(0);
  expect(nodes.inWindow).toBeGreaterThan(0.8 * TOKENS);
  nodes.close();
});
