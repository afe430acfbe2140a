/** Workflows of the tests, as a user would write them. */
import { durable, isReference, Saga, saga, type SagaOptions } from 'longwatch/workflow';
import type * as activities from './activities';
import type { Booking } from './activities';

const { pay, ship, mail, hasty, report, measure, circular, echo, nothing, charge } = durable<typeof activities>({
  heartbeatTimeout: '2s',
});

export async function payOnce(booking: Booking): Promise<{ receipt: string }> {
  return pay(booking);
}

export async function hastyOnce(booking: Booking): Promise<null> {
  return hasty(booking);
}

export async function order(bookings: { pay: Booking; ship: Booking; mail: Booking }, options: SagaOptions = {}) {
  return saga(async (steps) => {
    const { receipt } = await steps.step(pay, bookings.pay);
    const { parcel } = await steps.step(ship, bookings.ship);
    await mail(bookings.mail);
    return { receipt, parcel };
  }, options);
}

export async function orderByHand(booking: Booking) {
  const steps = new Saga();
  await steps.step(pay, booking);
  return [await steps.compensate(), await steps.compensate()];
}

export async function reportOf(booking: Booking) {
  const made = await report(booking);
  return { reference: isReference(made), length: await measure({ of: made }) };
}

export async function circularOnce(): Promise<null> {
  return circular(null);
}

/** The body of a saga fails with an error that is its own cause. */
export async function circularSaga(booking: Booking): Promise<void> {
  await saga(async (steps) => {
    await steps.step(pay, booking);
    steps.add('by hand', () => {
      const stuck = new Error('stuck');
      stuck.cause = stuck;
      return Promise.reject(stuck);
    });
    const error = new Error('no luck');
    error.cause = new Error('inner', { cause: error });
    throw error;
  });
}

export async function echoAndFail(id: string, given: unknown): Promise<void> {
  await saga(async (steps) => {
    await steps.step(echo, { id, given });
    await mail({ id, fail: 'for good' });
  });
}

export async function typeOfNothing(key: string): Promise<string> {
  const result: unknown = await nothing(key);
  return result === null ? 'null' : typeof result;
}

export async function chargeOnce(booking: Booking): Promise<unknown> {
  return charge(booking);
}
