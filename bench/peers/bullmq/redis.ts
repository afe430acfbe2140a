/**
 * A redis-server of the run's own, where there is one on PATH. Unless told otherwise nothing is kept on disk, which is
 * Redis at its fastest.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../../workers/metrics';
import type { Bench } from '../../harness/bench';

/**
 * @param persistence flags, for a comparison in which everybody keeps what it is given. @returns its port, or why there
 *   is none.
 */
export async function startRedis(
  bench: Bench,
  persistence: readonly string[] = ['--appendonly', 'no'],
): Promise<{ port: number } | { missing: string }> {
  if (spawnSync('redis-server', ['--version']).error) {
    return { missing: 'there is no redis-server on PATH (Debian: apt install redis-server)' };
  }
  const dir = mkdtempSync(path.join(tmpdir(), 'longwatch-redis-'));
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...persistence, '--dir', dir];
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(server, 'exit');
  bench.defer(async () => {
    server.kill('SIGKILL');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  });
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => line.includes('Ready to accept') && resolve());
    server.once('exit', () => reject(new Error('redis-server ended')));
  });
  return { port };
}
