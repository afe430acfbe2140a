/**
 * The user's workflows in one bundle with Longwatch's: names that both have, aliases, endings, packages of a workspace.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { explain } from '../../cli/errors';
import type { DataConverter } from '@temporalio/common';
import { wholeConverter } from '../../config/data-converter';
import { createWorker } from '../../workers/worker';
import { bundleWorkflows } from '../../workers/bundle';
import { resolveConfig } from '../../config/resolve/config';

let folder: string;
beforeEach(() => (folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'longwatch-users-')))));
afterEach(() => rmSync(folder, { recursive: true }));
const lines: string[] = [];
const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });

function file(name: string, text: string | object): string {
  const full = path.join(folder, name);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, typeof text === 'string' ? text : JSON.stringify(text));
  return full;
}

const refused = async (at: string) =>
  explain(
    await bundleWorkflows(at, log).then(
      () => undefined,
      (error: unknown) => error,
    ),
  );

test.each(['job', 'tracker', 'pool', 'buffer', 'shard', 'compensation'])(
  'a workflow that is called %s is refused',
  async (name) => {
    const at = file(
      'workflows.ts',
      `export async function ${name}(input: number): Promise<number> { return input; }\nexport async function mine(): Promise<void> {}`,
    );
    expect(await refused(at)).toEqual({
      status: 2,
      unexpected: false,
      message: `workflows: workflows.ts exports '${name}'; Longwatch has a workflow of that name, use another`,
    });
  },
);

test.each(['toString', 'valueOf', 'constructor'])(
  'a workflow may be called %s, as every object has it',
  async (name) => {
    const at = file('workflows.ts', `async function mine(): Promise<void> {}\nexport { mine as ${name} };`);
    expect(await bundleWorkflows(at, log)).toContain(name);
    expect(lines).toEqual([]);
  },
);

test('also where it comes from another module, and under another name there', async () => {
  file('other.ts', `export const take = async (): Promise<void> => {};`);
  const at = file('workflows.ts', `export { take as shard } from './other';`);
  expect((await refused(at)).message).toContain(`exports 'shard'`);
});

test.each([
  ['export * of another module', `export * from './other';`, `exports 'shard'`],
  ['a class', `export class pool {}`, `exports 'pool'`],
  ['a function that is a default there', `export { default as job } from './other';`, `exports 'job'`],
  [
    'a default export',
    `export default async function (): Promise<void> {}`,
    'has a default export, which would be lost',
  ],
  [
    'a default export of another module',
    `export { default } from './other';`,
    'has a default export, which would be lost',
  ],
])('%s: refused in one line', async (_what, text, says) => {
  file(
    'other.ts',
    `export async function shard(): Promise<void> {}\nexport default async function (): Promise<void> {}`,
  );
  const { message, status } = await refused(file('workflows.ts', text));
  expect(message).toContain(`workflows: workflows.ts ${says}`);
  expect([status, message.split('\n')]).toEqual([2, [message]]);
});

test('a CommonJS module, a default that is no workflow and what it exports of Longwatch are nobody’s clash', async () => {
  file('old.js', `module.exports = { mine: async () => 1 };`);
  file('ours.ts', `export * from 'longwatch/workflow';\nexport default { some: 'value' };`);
  const at = file('workflows.ts', `export * from './old';\nexport * from './ours';\nexport { default } from './ours';`);
  expect(await bundleWorkflows(at, log)).toContain('mine');
});

test('a bundle without the converters of the worker is refused, one with them is taken', async () => {
  const codec = { encode: (all: never[]) => Promise.resolve(all), decode: (all: never[]) => Promise.resolve(all) };
  const dataConverter: DataConverter = { payloadCodecs: [codec] };
  const start = async (code: string) =>
    explain(
      await createWorker({
        config: resolveConfig({
          trackers: [{ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }],
        }),
        temporal: { address: '127.0.0.1:1', namespace: 'default' },
        databaseUrl: 'postgres://nobody@127.0.0.1:1/none',
        log: pino({ level: 'silent' }),
        workflowBundle: file('bundle.js', code),
        dataConverter,
      }).catch((error: unknown) => error),
    );
  expect(await start(await bundleWorkflows(undefined, log))).toEqual({
    status: 2,
    unexpected: false,
    message:
      'workflowBundle was made without the failure converter of this dataConverter: make it with ' +
      'bundleWorkflows(workflows, log, dataConverter), or leave workflowBundle out and it is made at the start',
  });
  // The next thing that is wrong: nobody listens there.
  for (const converter of [dataConverter, wholeConverter(dataConverter)]) {
    expect((await start(await bundleWorkflows(undefined, log, converter))).message).toMatch(
      /^Temporal does not answer/,
    );
  }
});

test('what is no workflow may have any name', async () => {
  const at = file(
    'workflows.ts',
    `export const pool = 5;\nexport type job = string;\nexport async function mine(): Promise<void> {}`,
  );
  expect(await bundleWorkflows(at, log)).toContain('mine');
  expect(lines).toEqual([]);
});

test('aliases of its tsconfig, modules by other endings, a package of the workspace, behind a symbolic link', async () => {
  file('packages/app/tsconfig.json', { compilerOptions: { paths: { '@/*': ['./src/*'] } } });
  file('packages/app/src/names.ts', `export const name: string = 'by alias';`);
  file('packages/app/src/more.mts', `export const more: string = 'by ending';`);
  file('packages/shared/package.json', { name: '@acme/shared', main: 'src/index.ts' });
  file('packages/shared/src/index.ts', `export const shared: string = 'by workspace';`);
  mkdirSync(path.join(folder, 'node_modules/@acme'), { recursive: true });
  symlinkSync(path.join(folder, 'packages/shared'), path.join(folder, 'node_modules/@acme/shared'));
  file(
    'packages/app/workflows.ts',
    `import { proxyActivities } from '@temporalio/workflow';\nimport { name } from '@/names';\nimport { more } from './src/more.mjs';\nimport { shared } from '@acme/shared';\n` +
      `export async function mine(): Promise<string> { void proxyActivities; return name + more + shared; }`,
  );
  symlinkSync(path.join(folder, 'packages'), path.join(folder, 'link'));
  const code = await bundleWorkflows(path.join(folder, 'link/app/workflows.ts'), log);
  for (const text of ['by alias', 'by ending', 'by workspace']) expect(code).toContain(text);
});

test('what cannot be bundled says which import', async () => {
  const at = file(
    'workflows.ts',
    `import { x } from '@/nothing';\nexport async function mine(): Promise<unknown> { return x; }`,
  );
  expect(await refused(at)).toMatchObject({
    status: 2,
    message: expect.stringMatching(/workflows\.ts cannot be bundled: .*@\/nothing/) as string,
  });
});
