/** The release of Longwatch that this process runs, for the node's row. Read once, by `own-node.ts`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** From `dist/workers` and from `workers` alike. */
export function releaseVersion(): string {
  const above = path.join(__dirname, '..');
  const root = path.basename(above) === 'dist' ? path.dirname(above) : above;
  return (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }).version;
}
