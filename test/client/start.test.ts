/** `bin/longwatch.js` itself, as far as it goes before any of the sources: what a machine lacks is said in one line. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const BIN = path.join(__dirname, '..', '..', 'bin', 'longwatch.js');

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'longwatch-start-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a verb on a machine of which one thing is pretended; what would begin the sources ends with status 9. */
function run(verb: string, pretend: string): { status: number | null; stderr: string } {
  const script = path.join(folder, 'pretend.js');
  writeFileSync(
    script,
    `${pretend};
    const { _load } = require('node:module');
    require('node:module')._load = (name, ...rest) => (name.includes('dist/cli') ? process.exit(9) : _load(name, ...rest));
    process.execve = (file, args, env) => { process.stderr.write(JSON.stringify([args, env.MALLOC_ARENA_MAX])); process.exit(8); };`,
  );
  const { status, stderr } = spawnSync(process.execPath, ['--require', script, BIN, verb], { encoding: 'utf8' });
  return { status, stderr };
}

const MUSL = `process.report.getReport = () => ({ header: {} })`;
const NODE_20 = `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })`;

test('a worker on musl ends with one line that says what to use; verbs that only ask go on', () => {
  const { status, stderr } = run('worker', MUSL);
  expect({ status, lines: stderr.trim().split('\n').length }).toEqual({ status: 1, lines: 1 });
  expect(stderr).toMatch(/musl \(Alpine\): use an image of Debian/);
  expect(run('status', MUSL)).toEqual({ status: 9, stderr: '' });
});

test('a worker begins anew with its flags and variables, as the same process; others do not', () => {
  const { status, stderr } = run('worker', '');
  expect(status).toBe(8);
  expect(JSON.parse(stderr)).toEqual([expect.arrayContaining(['--max-semi-space-size=8', BIN, 'worker']), '2']);
  expect(run('show', '').status).toBe(9);
});

test('an old Node is named, and tried', () => {
  const { status, stderr } = run('dev', NODE_20);
  expect(status).toBe(8);
  expect(stderr).toMatch(/^Node 20\.20\.2 is older than what Longwatch is tested with: use 22\.19, 24 or 26\n/);
});
