/** The page of a file of tests, built once, in a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildPage } from '../../../scripts/page';

/** To be called at the top of a file: `folder` is there when its tests run. */
export function builtPage(): { readonly folder: string } {
  const built = { folder: '' };
  beforeAll(async () => {
    built.folder = mkdtempSync(path.join(tmpdir(), 'longwatch-page-'));
    await buildPage(built.folder);
  });
  afterAll(() => rmSync(built.folder, { recursive: true, force: true }));
  return built;
}
