/** Activities of the tests that go through Temporal: they book into one table, and fail when told to. */
import { defineActivity } from '../../exports';
import { gateOf } from './gates';

export interface Booking {
  id: string;
  amount?: number;
  /** Fails so many times, or for good. */
  fail?: number | 'for good';
  failUndo?: number | 'for good';
  /** Taking it back takes so long. Milliseconds. */
  undoMs?: number;
  /** Takes so long. Milliseconds. */
  ms?: number;
  /** Goes on when the test opens its gate. */
  waits?: boolean;
  bytes?: number;
}

const INSERT = 'insert into booking (id, what, amount) values ($1, $2, $3)';
/** No test waits for its end. */
const lease = { ttl: '30s', renew: '300ms' };
const tries: Record<string, number> = {};

/** Fails the first `times` calls of this process. */
function mayFail(name: string, times: number | 'for good' | undefined): void {
  tries[name] = (tries[name] ?? 0) + 1;
  if (times === 'for good' || (times !== undefined && tries[name] <= times)) throw new Error(`${name} fails`);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason as Error)));
  });
}

const undo = {
  retry: { attempts: 3, base: '20ms' },
  // A compensation whose worker dies is done by another one soon.
  lease: { ttl: '1s', renew: '300ms' },
};

export const pay = defineActivity({
  name: 'pay',
  retry: { attempts: 3, backoff: 'exponential', base: '20ms' },
  lease,
  idempotencyKey: ({ id }: Booking) => `pay ${id}`,
  async run({ id, amount, fail, ms, waits }: Booking, { tx, signal }) {
    mayFail(`pay ${id}`, fail);
    if (waits) await gateOf(id).opened;
    await tx.query(INSERT, [id, 'pay', amount ?? 1]);
    if (ms !== undefined) await sleep(ms, signal);
    return { receipt: `receipt of ${id}` };
  },
  compensate: {
    ...undo,
    async run({ id, amount, failUndo }, result, { tx }) {
      mayFail(`undo pay ${id}`, failUndo);
      await tx.query(INSERT, [id, `unpay ${result?.receipt}`, -(amount ?? 1)]);
    },
  },
});

export const ship = defineActivity({
  name: 'ship',
  lease,
  async run({ id, fail }: Booking, { tx }) {
    mayFail(`ship ${id}`, fail);
    await tx.query(INSERT, [id, 'ship', 0]);
    return { parcel: id };
  },
  compensate: {
    ...undo,
    async run({ id, failUndo, undoMs }, _result, { tx, signal }) {
      mayFail(`undo ship ${id}`, failUndo);
      if (undoMs !== undefined) await sleep(undoMs, signal);
      await tx.query(INSERT, [id, 'unship', 0]);
    },
  },
});

/** Has no compensation. */
export const mail = defineActivity({
  name: 'mail',
  lease,
  async run({ id, fail, ms }: Booking, { tx, signal }) {
    if (ms !== undefined) await sleep(ms, signal);
    mayFail(`mail ${id}`, fail);
    await tx.query(INSERT, [id, 'mail', 0]);
    return null;
  },
});

/** Its time is over soon, so for calls that take longer alone. */
export const hasty = defineActivity({
  name: 'hasty',
  timeout: '500ms',
  lease,
  async run({ ms }: Booking, { signal }) {
    await sleep(ms!, signal);
    return null;
  },
});

export const report = defineActivity({
  name: 'report',
  run: ({ bytes }: Booking) => ({ text: 'x'.repeat(bytes ?? 10) }),
});

export const measure = defineActivity({
  name: 'measure',
  run: ({ of }: { of: { text: string } }) => of.text.length,
});

/** Throws an error whose cause is that error again, as some HTTP clients do. */
export const circular = defineActivity({
  name: 'circular',
  retry: { attempts: 2, base: '20ms' },
  lease,
  run(): Promise<null> {
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    return Promise.reject(error);
  },
});

/** Gives back what it got, and can be taken back: with the very same. */
export const echo = defineActivity({
  name: 'echo',
  lease,
  run: ({ given }: { id: string; given: unknown }) => given,
  compensate: {
    ...undo,
    async run({ id, given }, result, { tx }) {
      const same = JSON.stringify(given) === JSON.stringify(result);
      await tx.query(INSERT, [id, same ? 'unecho' : 'unecho of another', 0]);
    },
  },
});

export const nothing = defineActivity({
  name: 'nothing',
  idempotencyKey: (key: string) => key,
  run: () => undefined,
});

export const charge = defineActivity({
  name: 'charge',
  idempotencyKey: ({ id }: Booking) => id,
  run: ({ amount }: Booking) => ({ charged: amount }),
});
