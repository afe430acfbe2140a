/** `docs/trackers.md`: its configs are run and resolved, its columns those that are shown. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { resolveConfig, type ConfigDefinition, type ResolvedConfig } from '../../exports';

const ROOT = path.join(__dirname, '../..');
const page = readFileSync(path.join(ROOT, 'docs/trackers.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(([, code]) => code!);
const configs = blocks('ts').map((code): [string, string] => [/name: '(\w+)'/.exec(code)![1]!, code]);

function configOf(code: string): ResolvedConfig {
  const { outputText } = ts.transpileModule(code, { compilerOptions: { module: ts.ModuleKind.CommonJS } });
  const exported: { default?: ConfigDefinition } = {};
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the page's own code, as a user's module would run
  const module = new Function('require', 'exports', outputText) as (load: NodeJS.Require, into: object) => void;
  module(require, exported);
  return resolveConfig(exported.default!);
}

test.each(configs)('the config of %s is one', (name, code) => {
  const { trackers } = configOf(code);
  expect(trackers.map((tracker) => tracker.definition.name)).toEqual([name]);
  expect(Object.keys(trackers[0]!.options.operations).length).toBeGreaterThan(0);
});

test('the codec of the page reads what it has written, and writes the same for the same value', () => {
  const [, code] = configs.find(([name]) => name === 'accounts')!;
  const { codec } = configOf(code).trackers[0]!.definition.operations.balance!;
  process.env.VALUES_KEY = 'ab'.repeat(32);
  const value = { cents: 7, name: 'Ждана' };
  const stored = codec!.encode(value);
  expect(JSON.stringify(stored)).not.toContain('cents');
  expect(codec!.encode(value)).toEqual(stored);
  expect(codec!.decode(stored)).toEqual(value);
});

test('the page has a config for each of its subjects', () => {
  expect(configs.length).toBeGreaterThanOrEqual(7);
  for (const option of [
    'stagger',
    'gate',
    'HoldError',
    'isolate',
    'skipWhile',
    'version',
    'retryDelay',
    'route',
    'codec',
  ]) {
    expect(configs.some(([, code]) => code.includes(`${option}:`) || code.includes(`${option}(`))).toBe(true);
  }
});

test.each(['status', 'show'])('the columns of %s are those that it shows', (verb) => {
  const source = readFileSync(path.join(ROOT, `cli/verbs/${verb}.ts`), 'utf8');
  const shown = [...source.matchAll(/(?:head: |right\()'([^']+)'/g)].map(([, head]) => head!);
  const section = page.slice(page.indexOf('## `status` and `show`'));
  const tables = section.split('| column').slice(1);
  const table = tables[verb === 'status' ? 0 : 1]!.split('\n\n')[0]!;
  const told = [...table.matchAll(/^\| ([a-z0-9 ]+?) +\|/gm)].map(([, head]) => head!);
  // The verb's last table; `show --next` has one of its own before it.
  const last = shown.slice(shown.lastIndexOf('operation'));
  expect(told).toEqual(last.filter((head) => verb === 'show' || head !== 'operation'));
});
