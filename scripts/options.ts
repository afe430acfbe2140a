/**
 * Writes `docs/options.md` from the option tables (`npm run docs:options`), or, with `--check`, fails when the page is
 * not what they say. Run by people and by `npm run check`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { renderOptions } from '../config/options-page';

const file = path.join(__dirname, '..', 'docs', 'options.md');
const page = renderOptions();

if (!process.argv.includes('--check')) {
  writeFileSync(file, page);
} else if (!existsSync(file) || readFileSync(file, 'utf8') !== page) {
  process.stderr.write('docs/options.md is not what the option tables say; write it again: npm run docs:options\n');
  process.exitCode = 1;
}
