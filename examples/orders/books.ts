/** The example's tables, and the check of its books. Called by `main.ts`. */
import type { Pool } from 'pg';

export const CUSTOMERS = 20;
export const ITEMS = 10;
const BALANCE = 1_000_000;
const QUANTITY = 1_000_000;

const SCHEMA = `
  create schema orders;
  create table orders.account (name text primary key, balance integer not null) with (fillfactor = 50);
  create table orders.movement (order_id text not null, customer text not null, amount integer not null);
  create table orders.stock (item text primary key, quantity integer not null) with (fillfactor = 50);
  create table orders.reservation (order_id text not null, item text not null);
  create table orders.parcel (
    parcel integer generated always as identity, key text primary key, order_id text not null,
    calls integer not null default 1, cancelled boolean not null default false);
  insert into orders.account values ('shop', 0);
  insert into orders.account select 'customer ' || n, ${BALANCE} from generate_series(1, ${CUSTOMERS}) n;
  insert into orders.stock select 'item ' || n, ${QUANTITY} from generate_series(1, ${ITEMS}) n;
`;

export async function openBooks(pool: Pool): Promise<void> {
  await pool.query(SCHEMA);
}

export interface Line {
  what: string;
  holds: boolean;
}

/**
 * @param shipped ids of the orders whose workflow completed, and @param undone of those that failed, with their prices.
 */
export async function checkBooks(
  pool: Pool,
  shipped: Map<string, number>,
  undone: Map<string, number>,
): Promise<Line[]> {
  const one = async (text: string, values: unknown[] = []): Promise<number> =>
    Number((await pool.query<{ n: string | number | null }>(text, values)).rows[0]?.n ?? 0);
  const done = [...shipped.keys()];
  const failed = [...undone.keys()];
  const turnover = [...shipped.values()].reduce((sum, price) => sum + price, 0);
  const line = (what: string, actual: number, expected: number): Line => ({
    what: `${what}: ${actual.toLocaleString('en-US')}${actual === expected ? '' : `, and should be ${expected.toLocaleString('en-US')}`}`,
    holds: actual === expected,
  });
  return [
    line('money in all', await one('select sum(balance) as n from orders.account'), BALANCE * CUSTOMERS),
    line('the shop has', await one(`select balance as n from orders.account where name = 'shop'`), turnover),
    line(
      'accounts that differ from their movements',
      await one(
        `select count(*) as n from orders.account a where a.name <> 'shop' and a.balance <> ${BALANCE} -
         (select coalesce(sum(m.amount), 0) from orders.movement m where m.customer = a.name)`,
      ),
      0,
    ),
    line(
      'shipped orders that were not paid exactly once',
      await one(
        `select count(*) as n from unnest($1::text[]) id
         where (select count(*) from orders.movement m where m.order_id = id) <> 1`,
        [done],
      ),
      0,
    ),
    line(
      'undone orders whose money is not back, or back twice',
      await one(
        `select count(*) as n from unnest($1::text[]) id
         where (select coalesce(sum(m.amount), 0) from orders.movement m where m.order_id = id) <> 0
            or (select count(*) from orders.movement m where m.order_id = id) not in (0, 2)`,
        [failed],
      ),
      0,
    ),
    line('items in stock', await one('select sum(quantity) as n from orders.stock'), QUANTITY * ITEMS - done.length),
    line('reservations', await one('select count(*) as n from orders.reservation'), done.length),
    line(
      'parcels on their way',
      await one('select count(*) as n from orders.parcel where not cancelled and order_id = any($1)', [done]),
      done.length,
    ),
    line(
      'parcels of undone orders on their way',
      await one('select count(*) as n from orders.parcel where not cancelled and order_id = any($1)', [failed]),
      0,
    ),
    line('orders with two parcels', await one('select count(*) - count(distinct order_id) as n from orders.parcel'), 0),
    line(
      'compensations that failed for good',
      await one(`select count(*) as n from longwatch.task where kind = 'compensation' and state = 'failed'`),
      0,
    ),
  ];
}

/** The consequences of the crashes. */
export async function crashes(pool: Pool): Promise<{ interrupted: number; parcelsAskedAgain: number }> {
  const { rows } = await pool.query<{ interrupted: number; again: number }>(
    `select (select count(*)::int from longwatch.task where attempt > 1) as interrupted,
            (select count(*)::int from orders.parcel where calls > 1) as again`,
  );
  return { interrupted: rows[0]!.interrupted, parcelsAskedAgain: rows[0]!.again };
}
