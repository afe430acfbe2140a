/** `longwatch migrate`: brings the database's schema up to date; again, it does nothing. */
import type { Command } from 'commander';
import { lazy } from '../lazy';
import { logger, print, printJson } from '../output';
import { environmentFlags, verb, type CommonFlags } from '../verb';

export function addMigrate(program: Command): void {
  verb(program, 'migrate', "bring the database's schema up to date", [
    'longwatch migrate --database postgres://user@host/longwatch',
  ]).action(async (flags: CommonFlags) => {
    const { requireDatabase, resolveEnvironment } = lazy.environment();
    const environment = resolveEnvironment(environmentFlags(flags));
    const url = requireDatabase(environment);
    // The lock that keeps two of them apart belongs to a session, which a pooler's transactions do not share.
    const applied = await lazy
      .migrate()
      .migrate(environment.directDatabaseUrl ?? url, logger('warn'), undefined, 'cli');
    if (flags.json) return printJson({ applied });
    await print(applied.length === 0 ? 'the schema is up to date' : `applied: ${applied.join(', ')}`);
  });
}
