/**
 * The basis of the grounds: a fresh clone with its packages, the packed package, other versions of Node. Used by
 * `grounds.ts`.
 */
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { findTemporal } from '../../workers/dev/temporal';

const ROOT = path.join(__dirname, '..', '..');

export async function sh(command: string, cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  try {
    return (await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', command], { cwd, env, maxBuffer: 1 << 26 }))
      .stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command}\n${stdout.slice(-2_000)}${stderr.slice(-2_000)}`);
  }
}

export class Materials {
  private clones = 0;

  private constructor(
    /** A folder that everybody may enter; all grounds lie below it. */
    readonly folder: string,
    /** A clone of what is committed, with `npm ci` done. */
    readonly clone: string,
    /** The packed package. */
    readonly tarball: string,
    /** The commit, and what of the work tree is not in it. */
    readonly what: string,
    /** A folder with the `temporal` command, which every user may run. */
    readonly bin: string,
  ) {}

  static async prepare(): Promise<Materials> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'longwatch-soak-'));
    chmodSync(folder, 0o755);
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    copyFileSync(await findTemporal(), path.join(bin, 'temporal'));
    const clone = path.join(folder, 'clone');
    await sh(`git clone -q ${ROOT} ${clone}`, folder);
    await sh('npm ci --no-audit --no-fund', clone);
    const packed = await sh(`npm pack --silent --pack-destination ${folder}`, clone);
    const commit = (await sh('git rev-parse --short HEAD', clone)).trim();
    const changes = (await sh('git status --porcelain', ROOT)).split('\n').filter(Boolean).length;
    const what = `commit ${commit}${changes > 0 ? `, without ${changes} changes that are not committed` : ''}`;
    const tarball = path.join(folder, packed.trim().split('\n').pop()!);
    return new Materials(folder, clone, tarball, what, bin);
  }

  /** A copy of the clone at a path of its own. */
  async copy(into: string): Promise<string> {
    const parent = path.dirname(path.join(this.folder, into));
    mkdirSync(parent, { recursive: true });
    const copy = path.join(this.folder, into);
    await sh(`cp -a '${this.clone}' '${copy}'`, this.folder);
    return copy;
  }

  /** An empty project with a config that watches three ids without any upstream. */
  project(name = `project-${++this.clones}`): string {
    const folder = path.join(this.folder, name);
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'package.json'), '{ "name": "mine", "private": true }\n');
    writeFileSync(
      path.join(folder, 'longwatch.config.ts'),
      `import { defineConfig, defineTracker } from 'longwatch';
export default defineConfig({
  trackers: [defineTracker({ name: 'mine', operations: { look: { every: '1s', run: async () => ({ value: 1 }) } } })],
});
`,
    );
    return folder;
  }

  /** Node of another version, from its package. @returns the folder of its binary */
  async node(version: string): Promise<string> {
    const folder = path.join(this.folder, `node-${version}`);
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
    const name = `node-linux-${os.arch()}`;
    await sh(`npm install --no-audit --no-fund ${name}@${version}`, folder);
    const bin = path.join(folder, 'node_modules', name, 'bin');
    const says = (await sh('node --version', folder, { PATH: `${bin}:${process.env.PATH}` })).trim();
    if (!`${says}.`.startsWith(`v${version}.`)) throw new Error(`${name}@${version} is Node ${says}`);
    return bin;
  }

  /** A locale of the C library's, made here, where nobody needs to have it. @returns the variables that choose it */
  async locale(name: string): Promise<NodeJS.ProcessEnv> {
    const folder = path.join(this.folder, 'locales');
    mkdirSync(folder, { recursive: true });
    await sh(`localedef -i ${name} -f UTF-8 '${path.join(folder, `${name}.UTF-8`)}'`, this.folder);
    return { LOCPATH: folder, LC_ALL: `${name}.UTF-8`, LANG: `${name}.UTF-8` };
  }

  /** The environment of a start: nothing of ours but PATH. */
  env(more: NodeJS.ProcessEnv = {}, ...bins: string[]): NodeJS.ProcessEnv {
    return {
      PATH: [...bins, this.bin, path.dirname(process.execPath), '/usr/bin', '/bin'].join(':'),
      HOME: this.folder,
      ...more,
    };
  }

  async remove(): Promise<void> {
    await sh(`chmod -R u+w '${this.folder}' && rm -rf '${this.folder}'`, os.tmpdir());
  }
}
