/**
 * The bare limit: fetching with undici and nothing else. No agenda, no time-outs, no results kept: what a machine can
 * do at best with the same client library and the same number of connections.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool, type Dispatcher } from 'undici';

/**
 * - `request`: as plain code fetches, `await (await pool.request(…)).body.json()`.
 * - `dispatch`: undici's cheapest way, its raw handler, which makes no stream for a body.
 */
export type BareWay = 'request' | 'dispatch';

const WAYS: Record<BareWay, (pool: Pool, id: number) => Promise<unknown>> = {
  request: async (pool, id) => {
    const { body } = await pool.request({ method: 'GET', path: `/characters/${id}` });
    return body.json();
  },
  dispatch: (pool, id) =>
    new Promise((resolve, reject) => {
      pool.dispatch({ method: 'GET', path: `/characters/${id}` }, new Collect(resolve, reject));
    }),
};

class Collect implements Dispatcher.DispatchHandlers {
  private text = '';
  constructor(
    private readonly resolve: (value: unknown) => void,
    private readonly reject: (error: Error) => void,
  ) {}
  onConnect(): void {}
  onHeaders(): boolean {
    return true;
  }
  onData(chunk: Buffer): boolean {
    this.text += chunk.toString('utf8');
    return true;
  }
  onComplete(): void {
    this.resolve(JSON.parse(this.text));
  }
  onError(error: Error): void {
    this.reject(error);
  }
}

export interface BareLoop {
  origin: string;
  way: BareWay;
  connections: number;
  /** Requests under way. */
  atOnce: number;
  /** Ids 1 to this, again and again. */
  ids: number;
}

/** Fetches as fast as it goes. @returns fetches a second, after a warm-up of two seconds. */
export async function bareRate(loop: BareLoop, seconds: number): Promise<number> {
  const pool = new Pool(loop.origin, { connections: loop.connections, pipelining: 1 });
  let fetched = 0;
  let next = 0;
  let over = false;
  const fetchOne = WAYS[loop.way];
  const lane = async (): Promise<void> => {
    while (!over) {
      await fetchOne(pool, (next++ % loop.ids) + 1);
      fetched++;
    }
  };
  const lanes = Promise.all(Array.from({ length: loop.atOnce }, lane));
  await delay(2_000);
  const [before, began] = [fetched, performance.now()];
  await delay(seconds * 1_000);
  const rate = (fetched - before) / ((performance.now() - began) / 1_000);
  over = true;
  await lanes;
  await pool.close();
  return rate;
}

/** Fetches ids 1 to `ids` once. @returns milliseconds. */
export async function bareRound(origin: string, ids: number, atOnce: number): Promise<number> {
  const pool = new Pool(origin, { connections: atOnce, pipelining: 1 });
  const round = async (): Promise<void> => {
    let next = 1;
    const lane = async (): Promise<void> => {
      while (next <= ids) await WAYS.request(pool, next++);
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  };
  try {
    // The first one makes the connections.
    await round();
    const began = performance.now();
    await round();
    return performance.now() - began;
  } finally {
    await pool.close();
  }
}
