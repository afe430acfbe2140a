/**
 * The choice of what to build when a population grows: a cache or triggers beside the lazy form, more connections, a
 * pooler. And what a row costs. The answers are in docs/growth.md.
 */
import { Pool } from 'pg';
import { defineScenario } from '../../harness/scenario';
import { measureConnections } from './connections';
import { measureSize } from './size';
import { measureStamina } from './stamina';

export const scenario = defineScenario({
  title: 'a value that grows by itself: lazy, cached, by trigger; connections, PgBouncer, room',
  async run(bench) {
    const stack = await bench.stack();
    // The comparison is of work, not how fast the disk is just now; where a commit's wait counts, it is asked for.
    await stack.sql('alter database longwatch set synchronous_commit = off');
    const pool = new Pool({ connectionString: stack.servers.databaseUrl, max: 8 });
    // A server that ends may end a connection before the pool does.
    pool.on('error', () => undefined);
    bench.defer(() => pool.end());
    return [
      ...(await measureStamina(bench, pool)),
      ...(await measureConnections(bench, stack)),
      ...(await measureSize(bench, stack)),
    ];
  },
});
