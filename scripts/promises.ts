/**
 * Fails when `docs/promises.md` names a test file that is not there (`npm run check`): a promise whose test has moved
 * or gone is one that nobody holds. A name without its folders stands for the one file of that name.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '..');
const page = readFileSync(path.join(root, 'docs', 'promises.md'), 'utf8');
const files = readdirSync(path.join(root, 'test'), { recursive: true, encoding: 'utf8' }).map((file) => `test/${file}`);

const named = new Set(page.match(/[\w./{},-]+\.test\.ts/g) ?? []);
const missing = [...named]
  .flatMap(spelledOut)
  .filter((name) => !files.some((file) => file === name || file.endsWith(`/${name}`)));
if (missing.length > 0) {
  process.stderr.write(`docs/promises.md names tests that are not there: ${missing.join(', ')}\n`);
  process.exitCode = 1;
}

/** `test/{a,b}.test.ts` names two. */
function spelledOut(name: string): string[] {
  const braces = /^(.*)\{([^}]*)\}(.*)$/.exec(name);
  return braces ? braces[2]!.split(',').map((each) => `${braces[1]}${each}${braces[3]}`) : [name];
}
