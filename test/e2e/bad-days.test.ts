/**
 * Three nodes as real processes and each bad day once: killed, drained, frozen, rebalanced, cut off from PostgreSQL,
 * from Temporal and from both, and the tracker's root terminated. The example counts (`examples/eve/nodes`): it ends
 * with 0 only if no id waited longer than it may, no pool has no keeper, and no older value was written over a newer.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const ROOT = path.join(__dirname, '../..');
const DAYS = ['kill -9', 'drain', 'freeze', 'rebalance', 'cut off from PostgreSQL'];
const MORE = ['cut off from Temporal', 'root terminated', 'cut off from both'];

let child: ChildProcess | undefined;
// Also where the time was over: it ends its nodes and servers.
afterAll(() => void child?.kill('SIGTERM'));

test('three nodes live through each bad day once', async () => {
  const days = [...DAYS, ...MORE];
  // Some leave one node that is well for their time, and the next day waits for two.
  const times = ['--kill-every', '5s', '--for', '75s'];
  const args = ['--nodes', '3', '--members', '300', ...times, '--seed', '7', ...days.flatMap((day) => ['--only', day])];
  child = spawn(process.execPath, ['--require', 'tsx/cjs', 'examples/eve/main.ts', ...args], {
    cwd: ROOT,
    // Another test runs on this machine as well: what is bounded here is the wait, to the second and not to its tenth.
    env: { ...process.env, BEATS_SLACK_MS: '3000' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const [status] = (await once(child, 'exit')) as [number | null];
  const all = said.join('');
  expect([status, all]).toEqual([0, expect.stringContaining('all of it holds')]);
  for (const day of days) expect(all).toMatch(new RegExp(`\\d+ × ${day}: `));
});
