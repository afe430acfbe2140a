/**
 * A number that steers a workflow does not change without a version: the numbers of each version stand in
 * `tunables.json`, and numbers stand nowhere else in the code that is replayed. How to change one is in
 * CONTRIBUTING.md, 'Changing a number of a workflow'.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { BUFFER_TUNABLES, BUFFER_VERSIONS, SHARD_TUNABLES, SHARD_VERSIONS } from '../../workflows/buffer/tunables';
import { JOB_TUNABLES, JOB_VERSIONS } from '../../workflows/job/tunables';
import { POOL_TUNABLES, POOL_VERSIONS, TRACKER_TUNABLES, TRACKER_VERSIONS } from '../../workflows/tracker/tunables';

const WORKFLOWS = path.join(__dirname, '../../workflows');
const RECORDED = JSON.parse(readFileSync(path.join(__dirname, 'tunables.json'), 'utf8')) as Record<
  string,
  Record<string, Record<string, number>>
>;
const ALL = [
  { workflow: 'tracker', room: 'tracker', numbers: TRACKER_TUNABLES, versions: TRACKER_VERSIONS },
  { workflow: 'pool', room: 'tracker', numbers: POOL_TUNABLES, versions: POOL_VERSIONS },
  { workflow: 'buffer', room: 'buffer', numbers: BUFFER_TUNABLES, versions: BUFFER_VERSIONS },
  { workflow: 'shard', room: 'buffer', numbers: SHARD_TUNABLES, versions: SHARD_VERSIONS },
  { workflow: 'job', room: 'job', numbers: JOB_TUNABLES, versions: JOB_VERSIONS },
];

/** The sources of a room, by their path in `workflows`. */
function sourcesOf(room: string): { file: string; text: string }[] {
  const files = readdirSync(path.join(WORKFLOWS, room), { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ file: `${room}/${file}`, text: readFileSync(path.join(WORKFLOWS, room, file), 'utf8') }));
}

test.each(ALL)('the numbers of a $workflow are those of its newest version', ({ workflow, numbers, versions }) => {
  const recorded = RECORDED[workflow]!;
  // A number was changed: give it a version, see 'Changing a number of a workflow' in CONTRIBUTING.md.
  expect(numbers).toEqual(recorded[Object.keys(versions).at(-1)!]);
  expect(Object.keys(recorded)).toEqual(Object.keys(versions));
});

test.each(ALL)('a $workflow that was begun under an older version goes on under it', ({ room, versions }) => {
  const code = sourcesOf(room)
    .map(({ text }) => text)
    .join('\n');
  const [, ...later] = Object.keys(versions);
  expect(later.filter((name) => !code.includes(`patched('${name}')`))).toEqual([]);
  expect(Object.values(versions).every((reason) => reason.length > 10)).toBe(true);
});

/** Numbers that nobody chooses: a limit of a type, or of what other floors count by the same number. */
const GIVEN = new Set([
  'job/plan.ts ELAPSED_MAX', // the largest number of a column
  'tracker/contract.ts POOL_TASK_TIMEOUT_MS', // set by whoever starts a pool; its history does not read it
  'tracker/id.ts ID_LENGTH', // what the client refuses as well
  'tracker/plan.ts LARGE_POOL', // the layout of pools is counted by activities
  'tracker/plan.ts LARGE_TRACKER',
  'tracker/slots.ts BITS', // of a number that bits are set in
]);

test('numbers of workflows stand in the tunables of their room, and in option tables', () => {
  const found = ['tracker', 'buffer', 'job'].flatMap((room) =>
    sourcesOf(room)
      .filter(({ file }) => !/(tunables|options)\.ts$/.test(file))
      .flatMap(({ file, text }) => [
        ...[...text.matchAll(/^(?:export )?const ([A-Z][A-Z0-9_]*) = [\d(]/gm)].map(([, name]) => `${file} ${name}`),
        ...[...text.matchAll(/(?:Timeout|Interval): (?!')[\d]/g)].map(([what]) => `${file} ${what}`),
      ]),
  );
  expect(found.filter((place) => !GIVEN.has(place))).toEqual([]);
  expect([...GIVEN].filter((place) => !found.includes(place))).toEqual([]);
});
