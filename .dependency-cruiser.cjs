/**
 * The floors of the house, a line each: a floor imports what stands below it and nothing above. `npm run floors` checks them, and that no
 * imports go in a circle; `npm run floors:draw` draws them into docs/architecture.md.
 */
const FLOORS = [
  ['workflows', []],
  ['config', ['workflows']],
  ['activities', ['workflows', 'config']],
  ['workers', ['workflows', 'config', 'activities']],
  ['client', ['workflows', 'config', 'activities']],
  ['http', ['workflows', 'config', 'activities', 'client']],
  ['cli', ['workflows', 'config', 'activities', 'workers', 'client', 'http']],
  ['exports', ['workflows', 'config', 'activities', 'workers', 'client', 'http']],
];
const EVERYTHING = [...FLOORS.map(([floor]) => floor), 'examples', 'bench', 'test', 'scripts'];

module.exports = {
  forbidden: [
    {
      name: 'no-circle',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...FLOORS.map(([floor, below]) => ({
      name: `floor-${floor}`,
      severity: 'error',
      comment: `${floor} may import ${below.join(', ') || 'nothing'} and itself`,
      from: { path: `^${floor}/` },
      to: { path: `^(${EVERYTHING.filter((each) => each !== floor && !below.includes(each)).join('|')})/` },
    })),
    // The four rooms of the workflows know `lib` and not one another: what a history replays stays small.
    {
      name: 'rooms-of-workflows',
      severity: 'error',
      from: { path: '^workflows/(tracker|buffer|job|durable)/' },
      to: { path: '^workflows/(tracker|buffer|job|durable)/', pathNot: '^workflows/$1/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    // Types count: what a file has to know to be read is what it imports.
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'node_modules|^dist/' },
    reporterOptions: { mermaid: { minify: false } },
  },
};
