/** Config modules as files: TypeScript and CommonJS, found by name, and every way one can be unusable. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { LoadedConfig } from '../../config/load';

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'longwatch-load-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const TRACKERS = `{ trackers: [{ name: 'things', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }] }`;

function file(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return name;
}

async function load(name?: string): Promise<LoadedConfig & { error?: { name: string; message: string } }> {
  const script = path.join(__dirname, 'load-one.ts');
  const args = ['--require', 'tsx/cjs', script, folder, ...(name === undefined ? [] : [name])];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as LoadedConfig;
}

async function refusal(name?: string): Promise<string> {
  const { error } = await load(name);
  expect(error?.name).toBe('ConfigError');
  return error!.message;
}

test.each([
  ['longwatch.config.ts', `const config: object = ${TRACKERS};\nexport default config;`],
  ['longwatch.config.js', `export default ${TRACKERS};`],
  ['longwatch.config.cjs', `module.exports = ${TRACKERS};`],
])('%s is found and loaded', async (name, text) => {
  file(name, text);
  const loaded = await load();
  expect(loaded.path).toBe(path.join(folder, name));
  expect(loaded.config.path).toBe(loaded.path);
  expect(loaded.config.trackers.map((tracker) => tracker.name)).toEqual(['things']);
  expect(loaded.dev).toBeUndefined();
});

test('the export dev comes along', async () => {
  file('c.ts', `export default ${TRACKERS};\nexport const dev = { trackers: { things: { ids: ['a'] } } };`);
  expect((await load('c.ts')).dev).toEqual({ trackers: { things: { ids: ['a'] } } });
});

test('a promise of a config is waited for, and one that fails says why', async () => {
  file('p.ts', `export default Promise.resolve(${TRACKERS});`);
  expect((await load('p.ts')).config.trackers.map((tracker) => tracker.name)).toEqual(['things']);
  file('f.ts', `export default Promise.reject(new Error('no vault'));`);
  expect(await refusal('f.ts')).toMatch(/^f\.ts could not be loaded: no vault/);
});

test('no file at all', async () => {
  expect(await refusal()).toMatch(/there is no longwatch\.config\.ts .* --config FILE/);
});

test('a path that is not there, and one that is a folder', async () => {
  expect(await refusal('nope.ts')).toBe('there is no config file nope.ts');
  expect(await refusal('.')).toMatch(/is not a file/);
});

test('no default export', async () => {
  expect(await refusal(file('c.ts', 'export const trackers = [];'))).toMatch(/^c\.ts has no default export/);
});

test('a module that throws says what and where, without a stack', async () => {
  const message = await refusal(file('c.ts', `const a = 1;\nthrow new Error('no upstream given');\nexport default a;`));
  expect(message).toBe('c.ts could not be loaded: no upstream given (at c.ts:2)');
});

test('a module that cannot be read as code', async () => {
  const message = await refusal(file('c.ts', 'export default {{{'));
  expect(message).toMatch(/^c\.ts could not be loaded: .*c\.ts:1:/);
  expect(message).not.toMatch(/\n/);
});

test('an import that is missing', async () => {
  expect(await refusal(file('c.ts', `import x from './missing';\nexport default x;`))).toMatch(
    /could not be loaded: .*missing/,
  );
});

test('options that may not stand name the file', async () => {
  expect(await refusal(file('c.ts', 'export default { trackers: [] };'))).toMatch(
    /^c\.ts cannot be used:\n {2}- trackers must/,
  );
});

test('a dev export of another kind', async () => {
  expect(await refusal(file('c.ts', `export default ${TRACKERS};\nexport const dev = 5;`))).toMatch(
    /'dev' must be an object/,
  );
});
