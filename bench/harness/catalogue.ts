/**
 * The list of scenarios: the files of `bench/scenarios/` (`NAME.ts`, or `NAME/index.ts` for one with parts), each
 * exporting `scenario`. Read by `main.ts`; nothing has to be registered.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Scenario } from './scenario';

export function readCatalogue(folder = path.join(__dirname, '..', 'scenarios')): Map<string, Scenario> {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.name.endsWith('.ts'))
    .map((entry) => path.basename(entry.name, '.ts'))
    .sort();
  return new Map(
    names.map((name) => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- by a name that is only known now, without a promise
      const { scenario } = require(path.join(folder, name)) as { scenario?: Scenario };
      if (!scenario) throw new TypeError(`bench/scenarios/${name} exports no scenario`);
      return [name, scenario];
    }),
  );
}
