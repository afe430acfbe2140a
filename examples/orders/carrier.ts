/**
 * The carrier, which stands for any service outside: it knows nothing of our transactions, and honours an idempotency
 * key. Its books are kept on connections of its own.
 */
import { Pool } from 'pg';

let connections: Pool | undefined;

function carrier(): Pool {
  if (!connections) {
    connections = new Pool({ connectionString: process.env.DATABASE_URL, max: 4, connectionTimeoutMillis: 3_000 });
    connections.on('error', () => undefined);
  }
  return connections;
}

/** @returns the parcel's number: the same one for the same key. */
export async function bookParcel(key: string, orderId: string): Promise<number> {
  const { rows } = await carrier().query<{ parcel: number }>(
    `insert into orders.parcel (key, order_id) values ($1, $2)
     on conflict (key) do update set calls = orders.parcel.calls + 1 returning parcel`,
    [key, orderId],
  );
  return rows[0]!.parcel;
}

export async function cancelParcel(key: string): Promise<void> {
  await carrier().query('update orders.parcel set cancelled = true where key = $1', [key]);
}
