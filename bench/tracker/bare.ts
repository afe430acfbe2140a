/**
 * The bare limit: fetching with undici and nothing else. No agenda, no time-outs, no results kept: what a machine can do at
 * best with the same client library and the same number of connections.
 */
import { Pool } from 'undici';

/** One request as plain code makes it. */
export async function bareFetch(pool: Pool, id: number): Promise<unknown> {
  const { body } = await pool.request({ method: 'GET', path: `/characters/${id}` });
  return body.json();
}

/** Fetches ids 1 to `ids`, so many at once. @returns milliseconds. */
export async function bareRound(origin: string, ids: number, atOnce: number): Promise<number> {
  const pool = new Pool(origin, { connections: atOnce, pipelining: 1 });
  try {
    await bareLanes(pool, ids, atOnce);
    const began = performance.now();
    await bareLanes(pool, ids, atOnce);
    return performance.now() - began;
  } finally {
    await pool.close();
  }
}

async function bareLanes(pool: Pool, ids: number, atOnce: number): Promise<void> {
  let next = 1;
  const lane = async (): Promise<void> => {
    while (next <= ids) await bareFetch(pool, next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
