/** The types of the package are whole for who installs it: the packages that they name come with it. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '../..');
interface Package {
  types?: string;
  typings?: string;
  dependencies?: Record<string, string>;
}
const packageIn = (folder: string): Package =>
  JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8')) as Package;

/** The packages that the reports of the public types import from. */
function named(): string[] {
  const reports = readdirSync(path.join(root, 'api')).filter((file) => file.endsWith('.api.md'));
  const from = reports.flatMap((file) => [
    ...readFileSync(path.join(root, 'api', file), 'utf8').matchAll(/^import .* from '([^'.][^']*)';$/gm),
  ]);
  const packages = from.map(([, name]) => /^(@[^/]+\/)?[^/]+/.exec(name!)![0]);
  return [...new Set(packages)].filter((name) => !name.startsWith('node:')).sort();
}

test('the reports name other packages', () => expect(named()).toEqual(expect.arrayContaining(['ms', 'pg', 'pino'])));

test.each(named())('the types of %s come with the package', (name) => {
  const { dependencies = {} } = packageIn('.');
  expect(dependencies).toHaveProperty([name]);
  const { types, typings } = packageIn(path.join('node_modules', name));
  if (types ?? typings) return;
  expect(dependencies).toHaveProperty([`@types/${name}`]);
});
