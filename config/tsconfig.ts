/**
 * The tsconfig of a user's file: the next one at or above its folder, wherever the command was called from, with what
 * it extends. Its `paths` and `baseUrl` say what an import means. Used by `load.ts` for the config and by `bundle.ts`
 * for workflows.
 */
import path from 'node:path';
import { createPathsMatcher, getTsconfig, type TsConfigResult } from 'get-tsconfig';
import { ConfigError } from './errors';

export function tsconfigOf(file: string): TsConfigResult | undefined {
  try {
    return getTsconfig(path.dirname(file)) ?? undefined;
  } catch (error) {
    throw new ConfigError([
      `the tsconfig.json of ${file} cannot be read: ${error instanceof Error ? error.message : ''}`,
    ]);
  }
}

/**
 * The files that an import may mean by the aliases of a file's tsconfig, the likeliest first; undefined: it has none.
 */
export function aliasesOf(file: string): ((specifier: string) => string[]) | undefined {
  const found = tsconfigOf(file);
  return (found && createPathsMatcher(found)) ?? undefined;
}
