/**
 * Draws the floors and rooms of the house, and who imports whom, into `docs/architecture.md`
 * (`npm run floors -- --write`); without `--write` it fails when the drawing is not what the imports say. The rule
 * itself is in `.dependency-cruiser.cjs`.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

interface Cruise {
  modules: { source: string; dependencies: { resolved: string }[] }[];
}

const FLOORS = ['exports', 'cli', 'http', 'client', 'workers', 'activities', 'config', 'workflows'];
/** Floors whose folders are rooms of their own; the others are drawn as one box. */
const WITH_ROOMS = ['http', 'client', 'activities', 'workflows'];
const BEGIN = '<!-- floors: drawn by `npm run floors -- --write` -->';
const END = '<!-- /floors -->';

const root = path.join(__dirname, '..');
const cruiser = path.join(root, 'node_modules', '.bin', 'depcruise');
const output = execFileSync(cruiser, ['--output-type', 'json', ...FLOORS], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 2 ** 28,
});
const { modules } = JSON.parse(output) as Cruise;

const rooms = new Map<string, Set<string>>();
const arrows = new Set<string>();
for (const { source, dependencies } of modules) {
  const from = roomOf(source);
  if (!from) continue;
  rooms.set(from.floor, (rooms.get(from.floor) ?? new Set()).add(from.room));
  for (const { resolved } of dependencies) {
    const to = roomOf(resolved);
    if (!to || (to.floor === from.floor && to.room === from.room)) continue;
    arrows.add(to.floor === from.floor ? `${id(from)} --> ${id(to)}` : `${from.floor} ==> ${to.floor}`);
  }
}

const page = path.join(root, 'docs', 'architecture.md');
const before = readFileSync(page, 'utf8');
const [head, rest] = before.split(BEGIN);
const tail = rest?.split(END)[1];
if (tail === undefined) throw new Error(`docs/architecture.md has no place for the drawing: ${BEGIN} … ${END}`);
const after = `${head}${BEGIN}\n\n\`\`\`mermaid\n${drawing()}\n\`\`\`\n\n${END}${tail}`;
if (process.argv.includes('--write')) writeFileSync(page, after);
else if (after !== before) {
  process.stderr.write('the drawing in docs/architecture.md is not what the imports say: npm run floors -- --write\n');
  process.exitCode = 1;
}

function drawing(): string {
  const lines = ['flowchart TB'];
  for (const floor of FLOORS) {
    lines.push(`  subgraph ${floor}`, '    direction LR');
    for (const room of [...rooms.get(floor)!].sort()) lines.push(`    ${id({ floor, room })}[${room}]`);
    lines.push('  end');
  }
  return [...lines, ...[...arrows].sort().map((arrow) => `  ${arrow}`)].join('\n');
}

interface Room {
  floor: string;
  room: string;
}

/**
 * `activities/tracker/shift/keep.ts` is in the room `tracker`; a file right on a floor in the room that is called as
 * the floor.
 */
function roomOf(file: string): Room | undefined {
  const [floor, room, inside] = file.split('/');
  if (!floor || !FLOORS.includes(floor)) return undefined;
  return { floor, room: inside !== undefined && WITH_ROOMS.includes(floor) ? room! : 'files' };
}

function id({ floor, room }: Room): string {
  return `${floor}.${room}`;
}
