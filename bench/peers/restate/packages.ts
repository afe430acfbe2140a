/**
 * Restate's server and SDK, from npm. They have 220 MB and the server has a licence of its own (BSL), so they are not
 * among the packages of this project: the first run with `--peers` installs them beside the others, in
 * `node_modules/.cache`.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const FOLDER = path.join(__dirname, '../../../node_modules/.cache/longwatch-peers/restate');
const MANIFEST = path.join(FOLDER, 'package.json');
const PACKAGES = { '@restatedev/restate-server': '1.7.12', '@restatedev/restate-sdk': '1.17.2' };

/** The parts of the SDK that the bench uses. */
export interface RestateSdk {
  object(definition: {
    name: string;
    handlers: Record<string, (ctx: ObjectContext, input: never) => Promise<unknown>>;
  }): unknown;
  serve(options: { services: unknown[]; port: number }): Promise<number>;
}

export interface ObjectContext {
  get<T>(key: string): Promise<T | null>;
  set(key: string, value: unknown): void;
}

export async function installRestate(say: (line: string) => void): Promise<void> {
  if (existsSync(path.join(FOLDER, 'node_modules/@restatedev/restate-sdk'))) return;
  say('installing Restate (220 MB, once)');
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(MANIFEST, JSON.stringify({ private: true, dependencies: PACKAGES }));
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: FOLDER });
}

/** After `installRestate`. */
export const restateSdk = (): RestateSdk => createRequire(MANIFEST)('@restatedev/restate-sdk') as RestateSdk;

/** The server itself: the script that npm makes for it would leave it behind when it is killed. */
export const RESTATE_SERVER = path.join(
  FOLDER,
  `node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`,
);
