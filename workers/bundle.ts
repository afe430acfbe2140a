/**
 * Bundles Longwatch's workflows together with the user's, for one worker that runs both. Called by `tasks.ts` where
 * the config names `workflows`; whoever starts many workers bundles once and gives each the file (`workflowBundle`).
 */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import vm from 'node:vm';
import type { DataConverter } from '@temporalio/common';
import { bundleWorkflowCode, type BundleOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { wholeConverter } from '../config/data-converter';
import { ConfigError } from '../config/errors';
import { aliasesOf } from '../config/tsconfig';
import { OWN_WORKFLOWS, WORKFLOW_INTERCEPTORS } from './own-workflows';

type Webpack = Parameters<NonNullable<BundleOptions['webpackConfigHook']>>[0];

/**
 * @param userWorkflows absolute; without it, Longwatch's alone.
 * @param converter that of the worker: what it names by path goes into the bundle.
 * @returns the bundle's code.
 * @throws ConfigError where it cannot be bundled, or exports a workflow of a name that Longwatch has.
 */
export async function bundleWorkflows(
  userWorkflows: string | undefined,
  log: Logger,
  converter?: DataConverter,
): Promise<string> {
  const { payloadConverterPath, failureConverterPath } = wholeConverter(converter) ?? {};
  const extension = path.extname(__filename);
  // The real place of a file decides where a package is found.
  const users = userWorkflows === undefined ? OWN_WORKFLOWS : realpathSync(userWorkflows);
  const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-workflows-'));
  const said: string[] = [];
  try {
    const entry = path.join(folder, 'entry.js');
    const [ours, theirs] = [OWN_WORKFLOWS, users].map((file) => JSON.stringify(file));
    writeFileSync(
      entry,
      `export * from ${ours};\nexport * from ${theirs};\n` +
        `import * as ours from ${ours};\nimport * as theirs from ${theirs};\n` +
        // If both export a name, one of them wins without a word; and no `export *` takes a default along.
        `export const longwatchClash = Object.keys(theirs).filter((name) => typeof theirs[name] === 'function' &&\n` +
        `  theirs[name] !== ours[name] && (name === 'default' || Object.hasOwn(ours, name)));\n`,
    );
    const { code } = await bundleWorkflowCode({
      workflowsPath: userWorkflows === undefined ? OWN_WORKFLOWS : entry,
      workflowInterceptorModules: WORKFLOW_INTERCEPTORS,
      payloadConverterPath,
      failureConverterPath,
      logger: {
        log() {},
        trace() {},
        debug() {},
        info() {},
        warn: (message) => log.warn(message),
        error: (message) => said.push(message),
      },
      webpackConfigHook: (config) =>
        webpackConfig(config, { users, entry: folder }, path.join(__dirname, '..', 'exports', `workflow${extension}`)),
    });
    if (userWorkflows !== undefined) refuseClash(code, userWorkflows, log);
    return code;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`workflows: ${path.basename(users)} cannot be bundled: ${reason(said, error)}`]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Sources {
  users: string;
  /** The folder of the entry that imports them. */
  entry: string;
}

function webpackConfig(config: Webpack, sources: Sources, user: string): Webpack {
  // The very code that this worker has, wherever the user's module would find the package.
  const alias = { 'longwatch/workflow': user };
  // The entry lies in a temporary folder, above which there are no packages.
  const packages = path.join(path.dirname(require.resolve('@temporalio/workflow/package.json')), '..', '..');
  const modules = [...(config.resolve?.modules ?? ['node_modules']), packages];
  const plugins = [...(config.resolve?.plugins ?? []), ...tsconfigPaths(sources)];
  const extensions = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs'];
  const extensionAlias = { '.js': ['.ts', '.tsx', '.js'], '.mjs': ['.mts', '.mjs'], '.cjs': ['.cts', '.cjs'] };
  // The SDK compiles .ts alone.
  const rules = (config.module?.rules ?? []).map((rule) =>
    rule && typeof rule === 'object' && rule.test instanceof RegExp && rule.test.source === '\\.ts$'
      ? { ...rule, test: /\.[cm]?tsx?$/ }
      : rule,
  );
  return {
    ...config,
    module: { ...config.module, rules },
    resolve: {
      ...config.resolve,
      modules,
      plugins,
      extensions,
      extensionAlias,
      alias: { ...config.resolve?.alias, ...alias },
    },
  };
}

interface Request {
  request?: string;
  path: string | false;
}
interface Resolver {
  ensureHook(name: string): unknown;
  getHook(name: string): {
    tapAsync(
      name: string,
      fn: (request: Request, context: unknown, callback: (error?: Error | null, result?: unknown) => void) => void,
    ): void;
  };
  doResolve(
    hook: unknown,
    request: Request,
    message: string,
    context: unknown,
    callback: (error?: Error | null, result?: unknown) => void,
  ): void;
}

/** `paths` of the tsconfig that holds for the user's workflows, for the user's modules. */
function tsconfigPaths({ users, entry }: Sources) {
  const aliases = aliasesOf(users);
  if (!aliases) return [];
  const apply = (resolver: Resolver): void => {
    const target = resolver.ensureHook('resolve');
    resolver.getHook('described-resolve').tapAsync('tsconfig paths', (request, context, callback) => {
      const { request: asked, path: from } = request;
      const foreign = from === false || from.includes(`${path.sep}node_modules${path.sep}`) || from === entry;
      if (!asked || foreign || /^[./]/.test(asked) || path.isAbsolute(asked)) return callback();
      const next = ([candidate, ...rest]: string[]): void => {
        if (candidate === undefined) return callback();
        resolver.doResolve(
          target,
          { ...request, request: candidate },
          `tsconfig paths: ${candidate}`,
          context,
          (error, found) => (!error && found ? callback(null, found) : next(rest)),
        );
      };
      next(aliases(asked));
    });
  };
  return [{ apply }] as unknown as NonNullable<NonNullable<Webpack['resolve']>['plugins']>;
}

/** How webpack names what the bundler was given no path for. */
const WITHOUT = { payloadConverterPath: 'payload', failureConverterPath: 'failure' } as const;

/**
 * A bundle has the converters that it was made with, and a worker with others would read what it did not write, or
 * write errors in clear.
 * @returns one line that says what to do; undefined where nothing speaks against it.
 */
export function bundleProblem(code: string, converter: DataConverter | undefined): string | undefined {
  const missing = Object.entries(WITHOUT).filter(
    ([key, name]) =>
      converter?.[key as keyof typeof WITHOUT] !== undefined &&
      code.includes(`__temporal_custom_${name}_converter (ignored)`),
  );
  if (missing.length === 0) return undefined;
  const names = missing.map(([, name]) => name).join(' and ');
  return (
    `workflowBundle was made without the ${names} converter of this dataConverter: make it with ` +
    'bundleWorkflows(workflows, log, dataConverter), or leave workflowBundle out and it is made at the start'
  );
}

/** The lines of webpack's report that name the file and the cause. */
function reason(said: readonly string[], error: unknown): string {
  const lines = stripVTControlCharacters(said.join('\n'))
    .split('\n')
    .map((line) => line.trim());
  const causes = lines.filter((line) => /Module not found|Error:|^x |can't resolve/i.test(line));
  const [first] = causes;
  return (first ?? (error instanceof Error ? error.message : String(error))).slice(0, 500);
}

/** Loads the bundle as a worker will, and asks it which names both have. */
function refuseClash(code: string, file: string, log: Logger): void {
  let clash: string[];
  try {
    const context = vm.createContext({
      URL,
      URLSearchParams,
      TextEncoder,
      TextDecoder,
      AbortController,
      console: {},
      __webpack_module_cache__: {},
    });
    vm.runInContext(code, context);
    const loaded: unknown = vm.runInContext('__TEMPORAL__.importWorkflows().longwatchClash.join()', context, {
      timeout: 5_000,
    });
    clash = String(loaded).split(',').filter(Boolean);
  } catch (error) {
    // The things that it needs when it is loaded may be there only in a workflow.
    log.warn({ err: error }, 'the names of the workflows could not be compared with those of Longwatch');
    return;
  }
  if (clash.includes('default')) {
    throw new ConfigError([
      `workflows: ${path.basename(file)} has a default export, which would be lost; export each workflow by its name`,
    ]);
  }
  if (clash.length === 0) return;
  const names = clash.map((name) => `'${name}'`).join(', ');
  throw new ConfigError([
    `workflows: ${path.basename(file)} exports ${names}; Longwatch has a workflow of that name, use another`,
  ]);
}
