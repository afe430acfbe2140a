/**
 * Configs as people write them: every ending, `await` at the top, aliases of a tsconfig, a workspace, a project behind
 * a symbolic link.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { LoadedConfig } from '../../config/load';

let folder: string;
beforeEach(() => (folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'longwatch-shapes-')))));
afterEach(() => rmSync(folder, { recursive: true }));

const config = (name: string) =>
  `{ trackers: [{ name: ${name}, operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }] }`;

function file(name: string, text: string | object): void {
  const full = path.join(folder, name);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, typeof text === 'string' ? text : JSON.stringify(text));
}

type Loaded = LoadedConfig & { compiled: boolean; error?: { name: string; message: string } };

/** In a process that was started in `cwd`. */
async function load(cwd: string, name?: string): Promise<Loaded> {
  const script = path.join(__dirname, 'load-one.ts');
  const args = ['--require', require.resolve('tsx/cjs'), script, cwd, ...(name === undefined ? [] : [name])];
  // Its tsconfig is not that of this project.
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  return JSON.parse(stdout) as Loaded;
}

const nameOf = (loaded: Loaded) => loaded.error?.message ?? loaded.config.trackers[0]!.name;

test.each<[file: string, text: string, compiled: boolean]>([
  ['longwatch.config.ts', `export default ${config(`'x' as string`)};`, true],
  ['longwatch.config.mts', `export default ${config(`'x' as string`)};`, true],
  ['longwatch.config.cts', `export default ${config(`'x' as string`)};`, true],
  ['longwatch.config.cjs', `module.exports = ${config(`'x'`)};`, false],
  ['longwatch.config.js', `module.exports = ${config(`'x'`)};`, false],
])('%s is found by itself; JavaScript needs no compiler, which would want to write', async (name, text, compiled) => {
  file(name, text);
  const loaded = await load(folder);
  expect(nameOf(loaded)).toBe('x');
  expect(loaded.compiled).toBe(compiled);
});

describe('an await at the top', () => {
  const text = `const name = await Promise.resolve('x');\nexport default ${config('name')};`;
  test.each<[file: string, type: string | null]>([
    ['longwatch.config.ts', null],
    ['longwatch.config.ts', 'module'],
    ['longwatch.config.mts', null],
    ['longwatch.config.mjs', null],
    ['longwatch.config.js', 'module'],
  ])('in %s, package type %s', async (name, type) => {
    if (type) file('package.json', { type });
    file(name, text);
    expect(nameOf(await load(folder))).toBe('x');
  });

  test('with TypeScript beside it, and a class that is the same one everywhere', async () => {
    const client = JSON.stringify(path.join(__dirname, '../../exports/index.ts'));
    file(
      'names.ts',
      `import { ConfigError } from ${client};\nexport const name: string = 'x';\nexport const Seen = ConfigError;`,
    );
    file(
      'longwatch.config.ts',
      `import { name as given, Seen } from './names';\nimport { ConfigError } from ${client};\n` +
        `const name = Seen === ConfigError ? await Promise.resolve(given) : 'two';\nexport default ${config('name')};`,
    );
    expect(nameOf(await load(folder))).toBe('x');
  });
});

describe('aliases of the tsconfig of the config’s folder', () => {
  beforeEach(() => {
    file('tsconfig.json', { compilerOptions: { paths: { '@/*': ['./wrong/*'] } } });
    file('base.json', { compilerOptions: { baseUrl: './pkg/src' } });
    file('pkg/tsconfig.json', {
      extends: '../base.json',
      compilerOptions: { paths: { '@/*': ['*'], names: ['./names.ts'] } },
    });
    file('pkg/src/names.ts', `export const name: string = 'x';`);
  });

  test.each(['@/names', 'names'])('%s is found from the folder, and from the one above', async (alias) => {
    file('pkg/longwatch.config.ts', `import { name } from '${alias}';\nexport default ${config('name')};`);
    expect(nameOf(await load(path.join(folder, 'pkg')))).toBe('x');
    expect(nameOf(await load(folder, 'pkg/longwatch.config.ts'))).toBe('x');
  });

  test('together with an await at the top', async () => {
    file('pkg/longwatch.config.ts', `import { name } from '@/names';\nawait null;\nexport default ${config('name')};`);
    expect(nameOf(await load(folder, 'pkg/longwatch.config.ts'))).toBe('x');
  });

  test('one that leads nowhere is named, with the tsconfig that was read', async () => {
    file('pkg/longwatch.config.ts', `import { name } from '@/nothing';\nexport default ${config('name')};`);
    expect(nameOf(await load(folder, 'pkg/longwatch.config.ts'))).toContain(
      `Cannot find module '@/nothing' (its tsconfig is ${path.join(folder, 'pkg/tsconfig.json')})`,
    );
  });
});

test('a package of the workspace whose main file is TypeScript', async () => {
  file('packages/shared/package.json', { name: '@acme/shared', main: 'src/index.ts' });
  file('packages/shared/src/index.ts', `export const name: string = 'x';`);
  mkdirSync(path.join(folder, 'node_modules/@acme'), { recursive: true });
  symlinkSync(path.join(folder, 'packages/shared'), path.join(folder, 'node_modules/@acme/shared'));
  file('packages/app/longwatch.config.ts', `import { name } from '@acme/shared';\nexport default ${config('name')};`);
  expect(nameOf(await load(path.join(folder, 'packages/app')))).toBe('x');
});

test('a project behind a symbolic link, and a config that is one', async () => {
  file('real/names.ts', `export const name: string = 'x';`);
  file('real/longwatch.config.ts', `import { name } from './names';\nexport default ${config('name')};`);
  symlinkSync(path.join(folder, 'real'), path.join(folder, 'link'));
  mkdirSync(path.join(folder, 'deploy'));
  symlinkSync(path.join(folder, 'real/longwatch.config.ts'), path.join(folder, 'deploy/longwatch.config.ts'));
  expect(nameOf(await load(path.join(folder, 'link')))).toBe('x');
  expect(nameOf(await load(path.join(folder, 'deploy')))).toBe('x');
});
