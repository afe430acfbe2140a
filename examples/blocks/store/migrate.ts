/** The example's tables, by the migrations beside this folder. Called by `main.ts`, the tests and the bench. */
import path from 'node:path';
import { migrate } from 'longwatch/worker';
import type { Logger } from 'pino';

export async function migrateTables(databaseUrl: string, log: Logger): Promise<void> {
  await migrate(databaseUrl, log, { folder: path.join(__dirname, '../migrations'), table: 'blocks_migrations' });
}
