/** The watchdog, on a process that really stalls: told while it stalls, with the operation that does it, and once. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

test('a stalled event loop is reported while it is stalled, with the operation whose code runs', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    '--require',
    'tsx/cjs',
    path.join(__dirname, 'stalled.ts'),
  ]);
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map(
      (line) => JSON.parse(line) as { level: number; msg: string; operation?: string; stalledMs: number; node: string },
    );
  expect(lines).toMatchObject([
    {
      level: 50,
      node: 'node-1',
      operation: 't/endless',
      msg: expect.stringContaining('event loop is stalled') as string,
    },
    { level: 40, node: 'node-1', msg: 'the event loop runs again' },
  ]);
  // The first line was written long before the stall was over.
  expect(lines[0]!.stalledMs).toBeLessThan(1_000);
  expect(lines[1]!.stalledMs).toBeGreaterThan(1_200);
  expect(stdout).toBe('stalls 1\n');
});
