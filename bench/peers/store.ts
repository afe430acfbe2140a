/** The work of the peers on an id: they fetch it and upsert the result, as an application would write it. */
import { Pool as Database } from 'pg';
import { Pool } from 'undici';

export const PEER_TABLE = `create table if not exists peer_value
  (id text primary key, value jsonb not null, fetched_at timestamptz not null) with (fillfactor = 50)`;

export interface PeerStore {
  /** One after the other would be slow: so many at once. One statement writes all of them. */
  fetchIds(ids: readonly string[]): Promise<void>;
}

const AT_ONCE = 50;

/** @param origin without one, values are made up. */
export function peerStore(databaseUrl: string, origin: string | undefined): PeerStore {
  const database = new Database({ connectionString: databaseUrl, max: 10 });
  const upstream = origin === undefined ? undefined : new Pool(origin, { connections: 256, pipelining: 1 });
  const fetchOne = async (id: string): Promise<unknown> => {
    if (upstream === undefined) return { number: Date.now() };
    const { body } = await upstream.request({ method: 'GET', path: `/characters/${id}` });
    return body.json();
  };
  return {
    fetchIds: async (ids) => {
      const values: unknown[] = [];
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let i = next++; i < ids.length; i = next++) values[i] = await fetchOne(ids[i]!);
      };
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, ids.length) }, lane));
      await database.query({
        name: 'peer-upsert',
        text: `insert into peer_value select *, now() from unnest($1::text[], $2::jsonb[])
               on conflict (id) do update set value = excluded.value, fetched_at = excluded.fetched_at`,
        values: [ids, values.map((value) => JSON.stringify(value))],
      });
    },
  };
}
