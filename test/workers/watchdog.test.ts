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
  const all = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map(
      (line) => JSON.parse(line) as { level: number; msg: string; operation?: string; stalledMs: number; node: string },
    );
  // Before it the machine itself may have stood still.
  const lines = all.slice(all.findIndex(({ operation }) => operation === 't/endless')).slice(0, 2);
  expect(lines).toMatchObject([
    {
      level: 50,
      node: 'node-1',
      operation: 't/endless',
      msg: expect.stringContaining('event loop is stalled') as string,
    },
    { level: 40, node: 'node-1', msg: 'the event loop runs again' },
  ]);
  expect(lines[1]!.stalledMs).toBeGreaterThan(lines[0]!.stalledMs + 500);
  // The process waited for the word, and did not yield.
  expect(stdout).toBe('told 1\n');
});
