/**
 * Writes the pages of `api/`: everything that each entry of the package exports, with its types, and the document of
 * the HTTP API (`npm run api`); with `--check` it fails when a page is not what the code says, so that a changed public
 * type shows in review. Run by people and by `npm run check`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { openApi } from './openapi';
import { Extractor, ExtractorConfig, ExtractorLogLevel, type IConfigFile } from '@microsoft/api-extractor';

/** One for each line of `exports` in package.json. */
const ENTRIES = ['index', 'worker', 'workflow', 'workflows', 'upstream', 'dashboard'];

const root = path.join(__dirname, '..');
const check = process.argv.includes('--check');

// The extractor reads declarations, so they are made first.
execFileSync(
  process.execPath,
  [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--emitDeclarationOnly'],
  { cwd: root, stdio: 'inherit' },
);
mkdirSync(path.join(root, 'api'), { recursive: true });

const stale = ENTRIES.filter((entry) => {
  const config = ExtractorConfig.prepare({
    configObject: configOf(entry),
    configObjectFullPath: undefined,
    packageJsonFullPath: path.join(root, 'package.json'),
  });
  const result = Extractor.invoke(config, {
    localBuild: !check,
    messageCallback: (message) => void (message.handled = true),
  });
  return result.apiReportChanged;
});
if (check && stale.length > 0) {
  const pages = stale.map((entry) => `api/${entry}.api.md`).join(', ');
  process.stderr.write(`${pages}: not what the package exports; look at what changed, then write it: npm run api\n`);
  process.exitCode = 1;
}

void openApi(check).then(
  (wrong) => {
    for (const line of wrong) process.stderr.write(`${line}\n`);
    if (wrong.length > 0) process.exitCode = 1;
  },
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  },
);

function configOf(entry: string): IConfigFile {
  const silent = { default: { logLevel: ExtractorLogLevel.None } };
  return {
    projectFolder: root,
    mainEntryPointFilePath: path.join(root, 'dist', 'exports', `${entry}.d.ts`),
    compiler: { tsconfigFilePath: path.join(root, 'tsconfig.build.json') },
    newlineKind: 'lf',
    apiReport: {
      enabled: true,
      reportFileName: `${entry}.api.md`,
      reportFolder: path.join(root, 'api'),
      reportTempFolder: path.join(root, 'dist', 'api'),
    },
    docModel: { enabled: false },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    // Comments are written for people, not for TSDoc; the compiler's messages come from `npm run typecheck`.
    messages: {
      compilerMessageReporting: silent,
      extractorMessageReporting: silent,
      tsdocMessageReporting: silent,
    },
  };
}
