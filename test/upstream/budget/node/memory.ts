/**
 * A node's spender over a ledger in memory, whose second passes where a test says so. For tests of single steps beside
 * this file; `kit.ts` has nodes on the real PostgreSQL.
 */
import { newBucket, type Bucket } from '../../../../activities/upstream/budget/ledger/bucket';
import { renew } from '../../../../activities/upstream/budget/ledger/statement';
import { limitOf, type Limit } from '../../../../activities/upstream/budget/limit';
import type { SharedBucket } from '../../../../activities/upstream/budget/node/shared';
import { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type { Refusal } from '../../../../activities/upstream/budget/ledger/closing';
import type {
  Reservation,
  Shortage,
  Spend,
  UpstreamLimit,
  Use,
  Waiter,
} from '../../../../activities/upstream/budget/spender';

/** Seconds of both clocks, and of the ledger's. */
export const time = { now: 0 };
/** The ledger's rows, by limit and key. */
export const ledger = new Map<string, Bucket>();
/** Closings that the ledger was told of. */
export const closings: { key: string; refusal: Refusal }[] = [];

beforeEach(() => {
  time.now = 1_760_000_000;
  closings.length = 0;
  ledger.clear();
});

export function spenderOf(...limits: UpstreamLimit[]): NodeSpender {
  return spenderNamed('one', ...limits);
}

export function spenderNamed(process: string, ...limits: UpstreamLimit[]): NodeSpender {
  const clocks = { monotonic: () => time.now, wall: () => time.now };
  const spender = new NodeSpender(
    { clocks, now: () => time.now, process, address: 'here' },
    {
      urge: () => undefined,
      tellClosing: ({ name }, refusal) => closings.push({ key: name.key, refusal }),
    },
  );
  spender.define({ name: 'up', limits });
  return spender;
}

export const limit = (name: string, rule: Partial<Limit>, more: Partial<UpstreamLimit> = {}): UpstreamLimit => ({
  name,
  rule: limitOf({ others: false, ...rule }),
  scope: 'shared',
  key: () => 'one',
  secret: false,
  cost: () => 1,
  format: null,
  ...more,
});

export function renewAll(spender: NodeSpender): void {
  for (const bucket of spender.shared) {
    const id = `${bucket.name.limit}/${bucket.name.key}`;
    const rule = bucket.limit.rule;
    const row = ledger.get(id) ?? newBucket(rule, time.now, '1');
    ledger.set(id, row);
    const renewal = bucket.renewal();
    bucket.granted(renewal, renew(row, rule, renewal, { now: time.now, timeline: '1' }));
  }
}

/** Seconds later, renewed at each. */
export function pass(spender: NodeSpender, seconds: number): void {
  for (let i = 0; i < seconds; i++) {
    time.now++;
    renewAll(spender);
  }
}

export const USE: Use = { class: 'watch', by: 't/look', id: 'a' };
export const REQUEST = { method: 'GET', path: '/look' };

export const waiterOf = (more: Partial<Waiter> = {}): Waiter => ({
  class: 'watch',
  requests: 1,
  wake: () => undefined,
  ...more,
});

export function reserved(spender: NodeSpender, requests = 1, use: Partial<Use> = {}): Reservation {
  const reservation = spender.reserve('up', { ...USE, ...use }, requests);
  if (reservation.isShort) throw new Error(`${reservation.limit}:${reservation.key} has nothing`);
  return reservation;
}

export function sent(spend: Spend | Shortage): Spend {
  if (spend.isShort) throw new Error(`${spend.limit}:${spend.key} has nothing`);
  return spend;
}

export function short(found: Reservation | Shortage): Shortage {
  if (!found.isShort) throw new Error('it has some');
  return found;
}

export function sharedOf(spender: NodeSpender, name: string, key = 'one'): SharedBucket {
  return spender.find({ upstream: 'up', limit: name, key })!;
}

/** Its buckets are made by the first who asks. */
export function wanted(spender: NodeSpender, requests: number, waits = requests, seconds = 0): void {
  const leave = short(spender.reserve('up', USE, requests)).join(waiterOf({ requests: waits }));
  renewAll(spender);
  pass(spender, seconds);
  leave();
}
