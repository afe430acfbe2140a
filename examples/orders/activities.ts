/**
 * The three steps of an order, and how each is taken back. Payment and stock are rows of our own database, so their
 * effect and the stored result commit together: exactly once. The carrier is somebody else's: it is given a key, and
 * ships once for it.
 */
import { defineActivity, type ActivityContext } from 'longwatch';
import { bookParcel, cancelParcel } from './carrier';

export type Step = 'pay' | 'reserve' | 'ship';
/** The fault of an order: it fails for good, hangs once until its time-out, or takes its worker down once. */
export type Trouble = 'fail' | 'hang' | 'crash';

export interface Order {
  id: string;
  customer: string;
  item: string;
  price: number;
  trouble?: { step: Step; kind: Trouble };
}

/** Short, so that what a killed worker had is soon taken over. The defaults are 30 s and 10 s. */
const lease = { ttl: '2s', renew: '500ms' };
/** Many, for every kill of a worker uses one of all that it ran. */
const retry = { attempts: 100, backoff: 'exponential', base: '50ms', cap: '1s', jitter: true } as const;
const compensation = { retry, lease, timeout: '2s' };

class Refused extends Error {
  override readonly name = 'Refused';
  /** Trying again is of no use. */
  readonly retryable = false;
}

async function mayGoWrong(step: Step, { trouble }: Order, { attempt, signal }: ActivityContext): Promise<void> {
  if (trouble?.step !== step) return;
  if (trouble.kind === 'fail') throw new Refused(`${step} is refused`);
  if (attempt > 1) return;
  if (trouble.kind === 'crash') process.kill(process.pid, 'SIGKILL');
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}

const MOVE = `with moved as (
    update orders.account set balance = balance + case when name = $2 then -$3::int else $3::int end where name in ($2, 'shop')
  )
  insert into orders.movement (order_id, customer, amount) values ($1, $2, $3)`;
const TAKE = `update orders.stock set quantity = quantity - $2::int where item = $1 and quantity >= $2::int`;

export const pay = defineActivity({
  name: 'pay',
  timeout: '1s',
  retry,
  lease,
  idempotencyKey: (order: Order) => `order ${order.id}`,
  async run(order: Order, context) {
    const { id, customer, price } = order;
    await context.tx.query(MOVE, [id, customer, price]);
    await mayGoWrong('pay', order, context);
    return { paid: price };
  },
  compensate: {
    ...compensation,
    async run({ id, customer }, payment, { tx }) {
      if (payment) await tx.query(MOVE, [id, customer, -payment.paid]);
    },
  },
});

export const reserve = defineActivity({
  name: 'reserve',
  timeout: '1s',
  retry,
  lease,
  idempotencyKey: (order: Order) => `order ${order.id}`,
  async run(order: Order, context) {
    const { rowCount } = await context.tx.query(TAKE, [order.item, 1]);
    if (rowCount === 0) throw new Refused(`${order.item} is sold out`);
    await context.tx.query(`insert into orders.reservation (order_id, item) values ($1, $2)`, [order.id, order.item]);
    await mayGoWrong('reserve', order, context);
    return { reserved: order.item };
  },
  compensate: {
    ...compensation,
    async run({ id, item }, _reserved, { tx }) {
      await tx.query(TAKE, [item, -1]);
      await tx.query('delete from orders.reservation where order_id = $1', [id]);
    },
  },
});

export const ship = defineActivity({
  name: 'ship',
  timeout: '1s',
  retry,
  lease,
  idempotencyKey: (order: Order) => `order ${order.id}`,
  async run(order: Order, context) {
    if (order.trouble?.kind === 'fail') await mayGoWrong('ship', order, context);
    const parcel = await bookParcel(context.key, order.id);
    await mayGoWrong('ship', order, context);
    return { parcel };
  },
  compensate: {
    ...compensation,
    // Also where it is not known whether a parcel was booked: cancelling none is nothing.
    run: ({ id }) => cancelParcel(`order ${id}`),
  },
});
