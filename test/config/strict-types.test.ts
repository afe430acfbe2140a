/**
 * The definitions that the pages show compile where somebody copies them to: with all of TypeScript's strict checks,
 * also `exactOptionalPropertyTypes`, and by both ways in which a project finds its packages.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const ROOT = path.join(__dirname, '../..');
const PAGES = ['README.md', 'docs/trackers.md', 'docs/members.md'];

/** The blocks that are a file of their own. */
const blocks = PAGES.flatMap((page) =>
  [...readFileSync(path.join(ROOT, page), 'utf8').matchAll(/^```ts\n(import [^]*?)^```/gm)].map(
    ([, code], n): [string, string] => [`${page} ${n}`, code!],
  ),
);

const WRONG = `import { defineTracker } from 'longwatch';
defineTracker({
  name: 't',
  operations: {
    look: { every: '1s', run: ({ id }) => ({ value: id }) },
    see: { every: '1s', skipWhile: { operation: 'lok' }, run: ({ id }) => ({ value: id }) },
  },
});
`;

/** @returns what the compiler says of the blocks themselves; the sources have a check of their own */
function problems(module: ts.ModuleKind, moduleResolution: ts.ModuleResolutionKind, of = blocks): string[] {
  const files = new Map(of.map(([, code], n) => [path.join(ROOT, `block-${n}.mts`), code]));
  const options: ts.CompilerOptions = {
    ...{ module, moduleResolution, target: ts.ScriptTarget.ES2022, lib: ['lib.es2023.d.ts'], types: ['node'] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ skipLibCheck: true, noEmit: true, esModuleInterop: true },
    paths: { longwatch: [path.join(ROOT, 'exports/index.ts')], 'longwatch/*': [path.join(ROOT, 'exports/*.ts')] },
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => files.get(file) ?? readFile(file);
  host.getSourceFile = (file, version, ...rest) =>
    files.has(file)
      ? ts.createSourceFile(file, files.get(file)!, version)
      : getSourceFile.call(host, file, version, ...rest);
  host.getCurrentDirectory = () => ROOT;
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files.keys()].flatMap((file, n) =>
    program
      .getSemanticDiagnostics(program.getSourceFile(file))
      .map(({ messageText }) => `${of[n]![0]}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`),
  );
}

test('an operation that is not there is refused, also beside runs whose context TypeScript finds', () => {
  expect(problems(ts.ModuleKind.Node16, ts.ModuleResolutionKind.Node16, [['wrong', WRONG]])).toEqual([
    `wrong: Type '"lok"' is not assignable to type '"look"'.`,
  ]);
});

test('the pages have such blocks', () => expect(blocks.length).toBeGreaterThan(8));

test.each([
  ['node16', ts.ModuleKind.Node16, ts.ModuleResolutionKind.Node16],
  ['bundler', ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
] as const)('they compile with moduleResolution %s', (_name, module, resolution) => {
  expect(problems(module, resolution)).toEqual([]);
});
