/**
 * The simulated worlds for `npm run soak -- simulations`: the test files that ask `test/support/simulate.ts` how many
 * histories they live through, themselves or by a part that they import.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../../cli/errors';

const TESTS = path.join(__dirname, '..');
const SIMULATE = path.join(TESTS, 'support', 'simulate.ts');

/**
 * @param only parts of the files' paths below `test/`; none: all of them
 * @returns the paths of the files
 * @throws UsageError where no world has such a name
 */
export function simulations(only: readonly string[]): string[] {
  const all = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && reaches(path.join(TESTS, name), new Set()))
    .sort();
  const unknown = only.find((word) => !all.some((name) => name.includes(word)));
  if (unknown !== undefined) {
    const worlds = all.map((name) => `  ${name.replace(/\.test\.ts$/, '')}`).join('\n');
    throw new UsageError(`no simulation has '${unknown}' in its name; there are:\n${worlds}`);
  }
  return all
    .filter((name) => only.length === 0 || only.some((word) => name.includes(word)))
    .map((name) => path.join(TESTS, name));
}

/** Does it import `simulate.ts`, or another file of the tests that does? @param seen files that have been looked at */
function reaches(file: string, seen: Set<string>): boolean {
  if (file === SIMULATE) return true;
  if (seen.has(file) || !file.startsWith(TESTS) || !existsSync(file)) return false;
  seen.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/(?:from|import) '(\.[^']*)'/g);
  return [...imports].some(([, name]) => reaches(`${path.join(path.dirname(file), name!)}.ts`, seen));
}
