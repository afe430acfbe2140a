/** The same order by DBOS Transact, as it comes, on the same PostgreSQL: a workflow of three steps. */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { Pool } from 'pg';
import { serve } from '../harness/child';
import { ORDER } from './statements';

let pool: Pool;

const order = DBOS.registerWorkflow(
  async (id: string): Promise<void> => {
    for (const [name, statement] of Object.entries(ORDER)) {
      await DBOS.runStep(() => pool.query(statement, [id]).then(() => id), { name });
    }
  },
  { name: 'order' },
);

serve({
  async start(databaseUrl: string) {
    pool = new Pool({ connectionString: databaseUrl });
    DBOS.setConfig({ name: 'bench', applicationVersion: '1', systemDatabaseUrl: databaseUrl, logLevel: 'error' });
    await DBOS.launch();
  },
  /** @returns seconds. */
  async orders(count: number, atOnce: number): Promise<number> {
    const began = performance.now();
    let next = 0;
    const sender = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) await order(`dbos-${i}`);
    };
    await Promise.all(Array.from({ length: atOnce }, sender));
    return (performance.now() - began) / 1_000;
  },
});
