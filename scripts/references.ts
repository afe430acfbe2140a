/**
 * Fails when a comment or a page names a file that is not there, or when a source has no head (`npm run check`). The
 * head of each file says what it is for, who calls it and where the data goes next; only a machine keeps such sentences
 * there, and true. A name may be a path from the root, a path
 * from the file itself, or the end of a path (`shift/keep.ts`); a bare name (`keep.ts`) stands for a file of that name
 * anywhere.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '..');
const tracked = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n');

/** Files that exist only for users, or while something runs. */
const ELSEWHERE = new Set([
  'longwatch.config.ts',
  'codec.ts',
  '0001_what.sql',
  'dev.json',
  'docker-compose.override.yml',
  'workflow-bundle.js',
  'temporal.sqlite',
  'activities.ts',
  'workflows.ts',
  'pg_hba.conf',
  'tsconfig.json',
  'package.json',
]);
/** A path of words, dots and dashes that ends like a file of ours. */
const NAMED =
  /(?<![\w/.@$}:-])((?:\.{1,2}\/)*(?:[\w.-]+\/)*[\w.-]+\.(?:ts|mts|cts|js|mjs|cjs|md|sql|yml))\b(?![/\w(])/g;

/** Each of these begins with a comment that says what it is for. */
const SOURCE = /^(workflows|config|activities|workers|client|http|cli|exports|scripts|examples)\/.*\.tsx?$/;

const wrong: string[] = [];
for (const file of tracked) {
  if (file.startsWith('test/replay/histories/') || file === 'CHANGELOG.md') continue;
  const text = spoken(file);
  if (text === undefined) continue;
  for (const [index, line] of text.entries()) {
    for (const [, name] of line.matchAll(NAMED)) {
      if (!name!.includes('NAME') && !exists(name!, file)) wrong.push(`${file}:${index + 1}: ${name}`);
    }
  }
}
const headless = tracked.filter(
  (file) => SOURCE.test(file) && !readFileSync(path.join(root, file), 'utf8').startsWith('/**'),
);
complain('names of files that are not there', wrong);
complain('sources whose first lines do not say what they are for', headless);

function complain(what: string, places: readonly string[]): void {
  if (places.length === 0) return;
  process.stderr.write(`${places.length} ${what}:\n  ${places.join('\n  ')}\n`);
  process.exitCode = 1;
}

/** The lines of a file that speak to people: of code the comments alone. */
function spoken(file: string): string[] | undefined {
  if (!/\.(tsx?|mts|cts|mjs|cjs|js|md|yml|sql)$/.test(file) || !existsSync(path.join(root, file))) return undefined;
  const lines = readFileSync(path.join(root, file), 'utf8').split('\n');
  if (file.endsWith('.md')) return lines;
  const sign = /\.(yml|sql)$/.test(file) ? /(?:#|--)\s(.*)$/ : /(?:^\s*\/?\*+|(?:^|\s)\/\/)\s?(.*)$/;
  return lines.map((line) => sign.exec(line)?.[1] ?? '');
}

function exists(name: string, from: string): boolean {
  const last = path.posix.basename(name);
  if (ELSEWHERE.has(last)) return true;
  if (name.startsWith('.')) {
    const at = path.posix.normalize(path.posix.join(path.posix.dirname(from), name));
    return tracked.includes(at) || tracked.includes(name.replace(/^(\.{1,2}\/)+/, ''));
  }
  return tracked.some((file) => file === name || file.endsWith(`/${name}`));
}
