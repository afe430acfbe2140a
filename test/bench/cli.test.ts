/** `npm run bench` through its process, as far as it needs no server: help and wrong use. */
import { execFile } from 'node:child_process';
import path from 'node:path';

interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

function bench(...args: string[]): Promise<Ended> {
  const main = path.join(__dirname, '../../bench/main.ts');
  return new Promise((resolve) => {
    execFile(process.execPath, ['--require', require.resolve('tsx/cjs'), main, ...args], (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
}

test('help lists the scenarios, each with what it measures', async () => {
  const { status, stdout } = await bench('--help');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^ {2}round +100 ids in one pool/m);
});

test.each([
  [[], /scenario/],
  [['rond'], /there is no scenario 'rond'; did you mean 'round'\?/],
  [['round', 'xyz-nothing'], /there is no scenario 'xyz-nothing'; there is: .*round/],
  [['round', '--runs', '0'], /--runs must be at least 1/],
  [['round', '--runs', 'two'], /whole number/],
  [['round', '--peer'], /--peers/],
])('wrong use ends with 2 and says so: %j', async (args, message) => {
  const { status, stdout, stderr } = await bench(...args);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
});
