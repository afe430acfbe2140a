/**
 * Finds and loads the user's config module, TypeScript included (through tsx). Called by the `worker` and `dev`
 * verbs and by worker threads; the resolved config goes to `createWorker`.
 */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { ConfigDefinition } from './definition';
import type { DevHook } from './dev-hook';
import { ConfigError } from './errors';
import { resolveConfig, type ResolvedConfig } from './resolve';

/** Looked for in the working folder, in this order, when no path is given. */
export const CONFIG_FILES = ['longwatch.config.ts', 'longwatch.config.js', 'longwatch.config.cjs'] as const;

export interface LoadedConfig {
  /** Absolute. */
  path: string;
  config: ResolvedConfig;
  /** The module's named export `dev`: what the development stack should start beside the worker. */
  dev?: DevHook;
}

/**
 * @param file relative to `cwd`; without one, the first of {@link CONFIG_FILES} that is there.
 * @throws ConfigError when there is none, when it cannot be loaded, or when its content cannot be used.
 */
export async function loadConfig(file?: string, cwd: string = process.cwd()): Promise<LoadedConfig> {
  const found = findConfig(file, cwd);
  const exported = await loadModule(found);
  const config = defaultExport(exported, path.relative(cwd, found) || found);
  try {
    const resolved = resolveConfig(config);
    const workflows = resolved.workflows && path.resolve(path.dirname(found), resolved.workflows);
    if (workflows && !existsSync(workflows))
      throw new ConfigError([`workflows: there is no file ${resolved.workflows}`]);
    return { path: found, config: { ...resolved, path: found, workflows }, dev: devHook(exported, found) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.problems, `${path.relative(cwd, found)} cannot be used:`);
  }
}

function findConfig(file: string | undefined, cwd: string): string {
  if (file !== undefined) {
    const full = path.resolve(cwd, file);
    if (!existsSync(full)) throw new ConfigError([`there is no config file ${file}`]);
    if (!statSync(full).isFile()) throw new ConfigError([`${file} is not a file; name the config module itself`]);
    return full;
  }
  const found = CONFIG_FILES.map((name) => path.join(cwd, name)).find((full) => existsSync(full));
  if (found !== undefined) return found;
  throw new ConfigError([
    `there is no ${CONFIG_FILES[0]} (or .js, .cjs) in this folder; name yours with --config FILE`,
  ]);
}

let compiler: (() => void) | undefined;

async function loadModule(file: string): Promise<Record<string, unknown>> {
  // Imported here so that verbs which load no config do not pay for the compiler.
  const { register } = await import('tsx/cjs/api');
  // For good, and for all modules: what the config requires later, when it runs, is compiled too, and finds the copies of
  // packages that the worker has. (tsx's own `require` gives the config copies of its own, and mixes them up with the others.)
  compiler ??= register();
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- the compiler is registered for `require`
    return require(file) as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError([`${path.basename(file)} could not be loaded: ${reason(error)}${place(error, file)}`]);
  }
}

/** The first line of a message that says something; the module finder adds a list of requirers. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const lines = message.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Transform failed'));
  return (lines[0] ?? message).slice(0, 500);
}

/** ` (at longwatch.config.ts:12)`: where in the user's own code it was thrown, where that is known. */
function place(error: unknown, file: string): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const own = stack
    .split('\n')
    .map((line) => /\(?(?:file:\/\/)?(\/[^\s()]+?):(\d+):\d+\)?$/.exec(line))
    .find((match) => match && match[1]!.startsWith(path.dirname(file)) && !match[1]!.includes('/node_modules/'));
  return own ? ` (at ${path.relative(path.dirname(file), own[1]!)}:${own[2]})` : '';
}

function defaultExport(exported: Record<string, unknown>, name: string): ConfigDefinition {
  // `module.exports = defineConfig(…)` is as good as a default export.
  const plain = exported.__esModule === true || 'default' in exported ? undefined : exported;
  const given = exported.default ?? (plain && Object.keys(plain).length > 0 ? plain : undefined);
  if (given === undefined) {
    throw new ConfigError([`${name} has no default export: export default defineConfig({ trackers: [ … ] })`]);
  }
  return given;
}

function devHook(exported: Record<string, unknown>, file: string): DevHook | undefined {
  const hook = exported.dev;
  if (hook === undefined) return undefined;
  if (typeof hook !== 'object' || hook === null) {
    throw new ConfigError([`${path.basename(file)}: its export 'dev' must be an object: { start?, trackers? }`]);
  }
  return hook;
}
