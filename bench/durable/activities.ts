/**
 * The activities of the scenario `durable`: an effect of 5 ms, as a durable activity and as a plain one, and the three
 * steps of an order.
 */
import { defineActivity } from 'longwatch';
import type { Pool } from 'pg';
import { ORDER, WAIT } from './statements';

const wait = defineActivity({
  name: 'wait',
  idempotencyKey: (of: string) => of,
  async run(of: string, { tx }) {
    await tx.query(WAIT, [of]);
    return of;
  },
});

const step = <const N extends keyof typeof ORDER>(name: N) =>
  defineActivity({
    name,
    idempotencyKey: (order: string) => order,
    async run(order: string, { tx }) {
      await tx.query(ORDER[name], [order]);
      return order;
    },
    compensate: () => undefined,
  });

export const durableActivities = [wait, step('pay'), step('reserve'), step('ship')] as const;

/** The same effect in a transaction of its own, as one would write it without Longwatch. */
export function bareActivities(pool: Pool) {
  return {
    async bareWait(of: string): Promise<string> {
      const connection = await pool.connect();
      try {
        await connection.query('begin');
        await connection.query(WAIT, [of]);
        await connection.query('commit');
        return of;
      } finally {
        connection.release();
      }
    },
  };
}
