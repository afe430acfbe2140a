import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { isRunning, markOf } from '../../config/dev/processes';
import {
  findDevState,
  lockHolder,
  makeDevFolder,
  releaseLock,
  takeLock,
  writeDevState,
  type DevState,
} from '../../config/dev/state';
import { newFolder, removeFolder } from './stack';

const me = markOf(process.pid)!;
/** A process that has ended, in the words of its mark. */
const dead = { pid: spawnSync('true').pid, started: 'long ago' };
let dir: string;

beforeEach(() => (dir = makeDevFolder(newFolder())));
afterEach(() => removeFolder(dir));

function state(supervisor: DevState['supervisor']): DevState {
  return {
    version: 1,
    owner: me,
    supervisor,
    servers: {},
    ports: {},
    temporalAddress: '127.0.0.1:7233',
    namespace: 'default',
    databaseUrl: 'postgres://longwatch@127.0.0.1/longwatch',
  };
}

test('a process is known by its start too, so a pid that is used again is another process', () => {
  expect(isRunning(me)).toBe(true);
  expect(isRunning({ ...me, started: 'earlier' })).toBe(false);
  expect(markOf(dead.pid)).toBeUndefined();
});

test('a live stack is found from any folder below its project', () => {
  writeDevState(dir, state(me));
  const below = path.join(path.dirname(dir), 'src', 'deep');
  expect(findDevState(below)?.temporalAddress).toBe('127.0.0.1:7233');
  expect(findDevState(path.dirname(path.dirname(dir)))).toBeUndefined();
});

test('LONGWATCH_DIR names the folder where the stack is known, and it is looked for nowhere else', () => {
  writeDevState(dir, state(me));
  const elsewhere = path.dirname(path.dirname(dir));
  expect(findDevState(elsewhere, { LONGWATCH_DIR: dir })?.temporalAddress).toBe('127.0.0.1:7233');
  expect(findDevState(elsewhere, { LONGWATCH_DIR: path.relative(elsewhere, dir) })).toBeDefined();
  expect(findDevState(dir, { LONGWATCH_DIR: elsewhere })).toBeUndefined();
  expect(findDevState(path.dirname(dir), { LONGWATCH_DIR: '' })).toBeDefined();
});

test('a stack whose supervisor has ended, or whose file is damaged, is not found', () => {
  writeDevState(dir, state(dead));
  expect(findDevState(dir)).toBeUndefined();
  writeFileSync(path.join(dir, 'dev.json'), '{"version":1,');
  expect(findDevState(dir)).toBeUndefined();
});

test('the lock goes to one, and a dead or damaged lock is taken over', () => {
  const mine = { owner: me, supervisor: me };
  expect(takeLock(dir, mine)).toBeUndefined();
  expect(takeLock(dir, { owner: dead, supervisor: dead })).toEqual(mine);
  expect(lockHolder(dir)).toEqual(mine);
  releaseLock(dir);
  expect(lockHolder(dir)).toBeUndefined();

  for (const stale of [JSON.stringify({ owner: dead, supervisor: dead }), 'not json']) {
    writeFileSync(path.join(dir, 'dev.lock'), stale);
    expect(takeLock(dir, mine)).toBeUndefined();
    expect(lockHolder(dir)).toEqual(mine);
    releaseLock(dir);
  }
  expect(readdirSync(dir)).toEqual(['.gitignore']);
});
