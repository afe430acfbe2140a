/**
 * The workflows import themselves and the workflow SDK only. A Node builtin, a client or a store would break every
 * replay.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const FOLDER = path.join(__dirname, '../../workflows');
const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

test.each(files)('workflows/%s imports nothing but workflows and the workflow SDK', (file) => {
  const source = readFileSync(path.join(FOLDER, file), 'utf8');
  for (const { fileName: from } of ts.preProcessFile(source, true, true).importedFiles) {
    const inside =
      from.startsWith('.') && !path.relative(FOLDER, path.resolve(FOLDER, path.dirname(file), from)).startsWith('..');
    expect(inside || /^@temporalio\/(workflow|common)$/.test(from) ? 'fine' : from).toBe('fine');
  }
});

test('the bundle is made of the workflows and what the SDK brings along', () => {
  // The SDK's bundler refuses Node's own modules; this one is about packages.
  const bundle = readFileSync(process.env.LONGWATCH_TEST_BUNDLE!, 'utf8');
  const packages = [...bundle.matchAll(/\.\/node_modules\/((?:@[\w-]+\/)?[\w-]+)\//g)].map((match) => match[1]!);
  expect([...new Set(packages)].sort()).toEqual(['@temporalio/common', '@temporalio/workflow', 'long', 'nexus-rpc']);
  const ours = [...bundle.matchAll(/"\.\/(\w+)\/[\w/-]+\.ts"/g)].map((match) => match[1]!);
  expect(new Set(ours)).toEqual(new Set(['workflows']));
});
