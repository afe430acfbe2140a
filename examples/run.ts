/** `npm run example -- NAME [flags]`: runs `examples/NAME/main.ts`, which gets the flags. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const names = readdirSync(__dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(path.join(__dirname, entry.name, 'main.ts')))
  .map((entry) => entry.name)
  .sort();

const name = process.argv[2];
if (name !== undefined && names.includes(name)) {
  // The example reads its flags from where they would be had it been started by itself.
  process.argv.splice(1, 2, path.join(__dirname, name, 'main.ts'));
  void import(`./${name}/main.ts`);
} else {
  const problem = name === undefined ? 'Which example?' : `There is no example '${name}' to run.`;
  console.error(`${problem} There is: ${names.length > 0 ? names.join(', ') : 'none yet'}.`);
  process.exitCode = 2;
}
