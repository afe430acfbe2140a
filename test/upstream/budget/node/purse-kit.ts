/** A shift's buckets of its members in memory, by clocks that a test turns. For the tests of purses here. */
import { limitOf } from '../../../../activities/upstream/budget/limit';
import { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type {
  Purse,
  Reservation,
  Shortage,
  Spend,
  UpstreamLimit,
} from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';

export const clock = {
  now: 0,
  /** Seconds by which the database's clock was set since the node has read it. */
  ahead: 0,
  /** Seconds for which the machine was suspended: its monotonic clock stood still. */
  suspended: 0,
};
const clocks = { monotonic: () => clock.now - clock.suspended, wall: () => clock.now };
export const urged: string[] = [];

/** @param readAt the database's clock was set by so much before the node read it first */
export function spenderOf(limit: Partial<UpstreamLimit>, readAt = 0): NodeSpender {
  const spender = new NodeSpender(
    { clocks, now: () => clock.now + readAt, ahead: () => clock.ahead - readAt, process: 'one', address: 'here' },
    { urge: ({ name }) => urged.push(name.key), tellClosing: () => undefined },
  );
  spender.define({ name: 'up', limits: [limitIn(limit)] });
  return spender;
}

export const limitIn = (limit: Partial<UpstreamLimit>): UpstreamLimit => ({
  name: 'group',
  rule: limitOf({ greatestCost: 5 }),
  scope: 'member',
  key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
  secret: false,
  cost: ({ status }) => (status < 300 ? 2 : 5),
  ...limit,
});

export function loaded(spender: NodeSpender, members: number): Purse {
  const purse = spender.purse(members);
  for (let slot = 0; slot < members; slot++) purse.load(slot, [], true);
  return purse;
}

export function take(spender: NodeSpender, purse: Purse, slot: number): Spend | Shortage {
  const use = { class: 'watch' as const, by: 't/look', id: `m${slot}`, purse, slot };
  const reserved: Reservation | Shortage = spender.reserve('up', use, 1);
  if (reserved.isShort) return reserved;
  const spend = reserved.draw({ method: 'GET', path: `/characters/${slot}/look/` });
  reserved.end();
  return spend;
}

export const told = (remaining: number, group = 'char') =>
  answer(200, {
    'x-ratelimit-group': group,
    'x-ratelimit-limit': '150/15m',
    'x-ratelimit-remaining': String(remaining),
  });

export function sent(spend: Spend | Shortage): Spend {
  if (spend.isShort) throw new Error(`${spend.limit}:${spend.key} has nothing`);
  return spend;
}

beforeEach(() => {
  Object.assign(clock, { now: 1_760_000_000, ahead: 0, suspended: 0 });
  urged.length = 0;
});
