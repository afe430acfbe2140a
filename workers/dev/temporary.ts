/**
 * Folders for a development stack that is thrown away: of tests, benchmarks and the examples that end by themselves.
 */
import { chmodSync, mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * A new folder below the system's temporary one. Root's may be passed by others, since PostgreSQL runs as another user
 * there.
 */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), `longwatch-${name}-`));
  if (process.getuid?.() === 0) chmodSync(folder, 0o711);
  return folder;
}
