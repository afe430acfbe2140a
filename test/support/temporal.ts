/** A client of a stack's Temporal, for what a test asks of it beside Longwatch's own client. */
import { Client, Connection } from '@temporalio/client';
import type { DevServers } from '../../workers/dev/servers';

export async function withTemporal<T>(stack: DevServers, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: stack.temporalAddress });
  try {
    return await use(new Client({ connection, namespace: stack.namespace }));
  } finally {
    await connection.close();
  }
}
