/**
 * An order as durable calls: money moves, stock goes down, a parcel is booked at a carrier that is not in the
 * transaction.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import type { TestCall } from './harness';

export const SCHEMA = `
  create table effect (task text, node text);
  create table account (name text primary key, balance integer not null);
  create table movement (order_id text not null, amount integer not null);
  create table carrier (key text primary key, calls integer not null default 1);
  insert into account values ('buyers', 100000), ('shop', 0);
`;

const common = { ttlMs: 300, renewMs: 100, retry: { attempts: 1_000, baseMs: 5 } };
const random = (ms: number): Promise<void> => delay(Math.random() * ms);

let carrier: Pool | undefined;

export function orderCalls(id: string): TestCall[] {
  return [
    {
      ...common,
      task: `order-${id}/pay`,
      activity: 'pay',
      key: `pay ${id}`,
      run: async ({ tx }) => {
        await tx.query(`update account set balance = balance - 10 where name = 'buyers'`);
        await random(2);
        await tx.query(`update account set balance = balance + 10 where name = 'shop'`);
        await tx.query('insert into movement values ($1, 10)', [id]);
        return { paid: 10 };
      },
    },
    {
      ...common,
      task: `order-${id}/ship`,
      activity: 'ship',
      // Outside of the transaction: it may be called again, so it is given a key of which it ships once.
      run: async ({ key }) => {
        carrier ??= new Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
        await carrier.query(
          'insert into carrier (key) values ($1) on conflict (key) do update set calls = carrier.calls + 1',
          [key],
        );
        await random(5);
        return { shipped: key };
      },
    },
  ];
}
