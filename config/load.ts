/**
 * Finds and loads the user's config module: JavaScript as Node does, TypeScript through tsx, either as CommonJS or as
 * ES module. Called by the `worker` and `dev` verbs and by worker threads; the resolved config goes to `createWorker`.
 */
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import nodeModule, { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { DevHook } from './define/dev-hook';
import { converterProblems } from './data-converter';
import { ConfigError } from './errors';
import { tsconfigOf } from './tsconfig';
import type { ConfigDefinition } from './define/config';
import { resolveConfig, type ResolvedConfig } from './resolve/config';
import { errorMessage } from '../workflows/lib/text';

/** Looked for in the working folder, in this order, when no path is given. */
export const CONFIG_FILES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map((end) => `longwatch.config.${end}`);

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
  const config = await settled(defaultExport(exported, path.relative(cwd, found) || found), found);
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

/** @param file a module whose default export, or export `dataConverter`, is what a config has under that name. */
export async function loadConverter(file: string, cwd: string = process.cwd()): Promise<DataConverter> {
  const full = path.resolve(cwd, file);
  if (!existsSync(full)) throw new ConfigError([`LONGWATCH_DATA_CONVERTER: there is no file ${file}`]);
  const exported = await loadModule(full);
  const given = exported.dataConverter ?? exported.default ?? null;
  const problems = converterProblems(given);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${file}: ${problem}`));
  return given as DataConverter;
}

/** The config of a folder, where no file is named. */
export const configIn = (cwd: string = process.cwd()): string | undefined =>
  CONFIG_FILES.map((name) => path.join(cwd, name)).find((full) => existsSync(full));

function findConfig(file: string | undefined, cwd: string): string {
  if (file !== undefined) {
    const full = path.resolve(cwd, file);
    if (!existsSync(full)) throw new ConfigError([`there is no config file ${file}`]);
    if (!statSync(full).isFile()) throw new ConfigError([`${file} is not a file; name the config module itself`]);
    return full;
  }
  const found = configIn(cwd);
  if (found !== undefined) return found;
  throw new ConfigError([
    `there is no ${CONFIG_FILES[0]} (or .mts, .cts, .js, .mjs, .cjs) in this folder: write one (docs/trackers.md begins with one), or name yours with --config FILE`,
  ]);
}

async function loadModule(file: string): Promise<Record<string, unknown>> {
  try {
    return await (/\.[cm]?js$/.test(file) ? loadJavaScript(file) : loadTypeScript(file));
  } catch (error) {
    throw new ConfigError([`${path.basename(file)} could not be loaded: ${reason(error)}${place(error, file)}`]);
  }
}

/**
 * As Node itself does it: nothing is compiled, so nothing is written. Only what it cannot do alone is left to the
 * compiler.
 */
async function loadJavaScript(file: string): Promise<Record<string, unknown>> {
  try {
    return await requireOrImport(file);
  } catch (error) {
    if (!NEEDS_COMPILER.test(codeAndMessage(error))) throw error;
    return loadTypeScript(file);
  }
}

/** It requires TypeScript; or it has an `import` and Node takes it for CommonJS. */
const NEEDS_COMPILER = /MODULE_NOT_FOUND|UNKNOWN_FILE_EXTENSION|SyntaxError|import statement outside|Unexpected token/;
/** A module that only the ES loader can load: it awaits at its top, or its package says that it is one. */
const NEEDS_IMPORT = /ERR_REQUIRE_ESM|ERR_REQUIRE_ASYNC_MODULE|Top-level await|await is only valid/i;

async function requireOrImport(file: string): Promise<Record<string, unknown>> {
  try {
    return createRequire(__filename)(file) as Record<string, unknown>;
  } catch (error) {
    if (!NEEDS_IMPORT.test(codeAndMessage(error))) throw error;
    return unwrapped((await import(pathToFileURL(file).href)) as Record<string, unknown>);
  }
}

let compiler: (() => void) | undefined;
let importer: (() => Promise<void>) | undefined;

async function loadTypeScript(file: string): Promise<Record<string, unknown>> {
  const tsconfig = tsconfigOf(file)?.path;
  // Its cache is in the system's folder for temporary files, where one may be.
  if (!writable(tmpdir())) process.env.TSX_DISABLE_CACHE = '1';
  // Imported here so that verbs which load no config do not pay for the compiler.
  const { register } = await import('tsx/cjs/api');
  // For good, and for all modules: what the config requires later, when it runs, is compiled too, and finds the copies
  // of packages that the worker has. (tsx's own `require` gives the config copies of its own, and mixes them up with
  // the others.)
  compiler ??= withTsconfig(tsconfig, register);
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- the compiler is registered for `require`
    return require(file) as Record<string, unknown>;
  } catch (error) {
    if (!NEEDS_IMPORT.test(codeAndMessage(error))) throw aliasHint(error, tsconfig);
  }
  const esm = await import('tsx/esm/api');
  importer ??= esm.register({ tsconfig: tsconfig ?? false });
  const url = pathToFileURL(realpathSync(file)).href;
  asModule(url);
  try {
    return unwrapped((await import(url)) as Record<string, unknown>);
  } catch (error) {
    throw aliasHint(error, tsconfig);
  }
}

/** A file with a top-level await is a module, whatever its package says of the ending. */
function asModule(url: string): void {
  const { registerHooks } = nodeModule as { registerHooks?: (hooks: { resolve: Resolve }) => void };
  if (registerHooks) {
    registerHooks({ resolve: (specifier, context, next) => forced(next(specifier, context)) });
    return;
  }
  // Before Node 22.15 such hooks live in a thread of their own.
  const code = `export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    return found.url === ${JSON.stringify(url)} ? { ...found, format: 'module' } : found;
  }`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(code)}`);

  function forced(found: { url: string }) {
    return found.url === url ? { ...found, format: 'module' } : found;
  }
}

type Resolve = (
  specifier: string,
  context: object,
  next: (specifier: string, context: object) => { url: string },
) => object;

/** `paths` hold for the config whose folder (or one above it) has them, wherever the command is called from. */
function withTsconfig<T>(tsconfig: string | undefined, act: () => T): T {
  const before = process.env.TSX_TSCONFIG_PATH;
  if (tsconfig !== undefined) process.env.TSX_TSCONFIG_PATH = tsconfig;
  try {
    return act();
  } finally {
    if (before === undefined) delete process.env.TSX_TSCONFIG_PATH;
    else process.env.TSX_TSCONFIG_PATH = before;
  }
}

/** A name that is not found may be an alias: then it matters which tsconfig was read. */
function aliasHint(error: unknown, tsconfig: string | undefined): unknown {
  if (!(error instanceof Error) || !/Cannot find (module|package)/.test(error.message)) return error;
  const [first] = error.message.split('\n');
  const read = tsconfig === undefined ? 'there is no tsconfig.json for it' : `its tsconfig is ${tsconfig}`;
  return Object.assign(new Error(`${first} (${read})`, { cause: error }), { stack: error.stack });
}

/** A CommonJS module that was imported has its exports below `default`. */
function unwrapped(namespace: Record<string, unknown>): Record<string, unknown> {
  const inner = namespace.default;
  const commonJs = typeof inner === 'object' && inner !== null && '__esModule' in inner;
  return commonJs ? inner : namespace;
}

function codeAndMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${String((error as { code?: unknown }).code)} ${error.name} ${error.message}`;
}

function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first line of a message that says something; the module finder adds a list of requirers. */
function reason(error: unknown): string {
  const message = errorMessage(error);
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

/**
 * A config that has to ask something first is exported as a promise, where its author does without `await` at the top.
 */
async function settled(config: ConfigDefinition | Promise<ConfigDefinition>, file: string): Promise<ConfigDefinition> {
  try {
    return await config;
  } catch (error) {
    throw new ConfigError([`${path.basename(file)} could not be loaded: ${reason(error)}${place(error, file)}`]);
  }
}

function devHook(exported: Record<string, unknown>, file: string): DevHook | undefined {
  const hook = exported.dev;
  if (hook === undefined) return undefined;
  if (typeof hook !== 'object' || hook === null) {
    throw new ConfigError([`${path.basename(file)}: its export 'dev' must be an object: { start?, trackers? }`]);
  }
  return hook;
}
