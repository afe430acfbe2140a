/**
 * Writes `api/openapi.json`, the document of the HTTP API, and looks at it as Redocly does; with `check` it fails when
 * the file is not what the routes say. Called by `api.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openApiDocument } from '../http/openapi';

const root = path.join(__dirname, '..');
const FILE = path.join(root, 'api', 'openapi.json');

/** @returns what is wrong, a line each */
export async function openApi(check: boolean): Promise<string[]> {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  const text = `${JSON.stringify(openApiDocument(version), null, 2)}\n`;
  const wrong = await lint(text);
  if (!check) writeFileSync(FILE, text);
  else if (readFileSync(FILE, 'utf8') !== text)
    wrong.push('api/openapi.json: not what the routes say; look at what changed, then write it: npm run api');
  return wrong;
}

async function lint(source: string): Promise<string[]> {
  const { createConfig, lintFromString } = await import('@redocly/openapi-core');
  const config = await createConfig({ extends: ['recommended-strict'] });
  const problems = await lintFromString({ source, config, absoluteRef: FILE });
  return problems.map(
    ({ ruleId, message, location: [place] }) => `api/openapi.json: ${ruleId} at ${String(place?.pointer)}: ${message}`,
  );
}
