/** A Restate server of the run's own, with the rooms registered in it. Its folder is a new one, on disk. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../../workers/metrics';
import type { Bench } from '../../harness/bench';
import { installRestate, RESTATE_SERVER } from './packages';

/** Its SDK needs what Node has since this version. */
const NODE_MAJOR = 22;

/** @returns the address that objects are called at, or why there is none */
export async function startRestate(bench: Bench): Promise<{ origin: string } | { missing: string }> {
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR) return { missing: `it needs Node ${NODE_MAJOR}` };
  try {
    await installRestate(bench.say);
  } catch (error) {
    return { missing: `npm could not install it: ${(error as Error).message.split('\n')[0]}` };
  }
  const [ingress, admin, fabric, objects] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const service = await bench.child(path.join(__dirname, 'service-process.ts'), { RESTATE_LOGGING: 'ERROR' });
  await service.call('start', objects);
  const dir = mkdtempSync(path.join(tmpdir(), 'longwatch-restate-'));
  const server = spawn(RESTATE_SERVER, ['--base-dir', dir, '--listen-mode', 'tcp'], {
    env: {
      ...process.env,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_BIND_ADDRESS: `127.0.0.1:${fabric}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${fabric}`,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RUST_LOG: 'error',
    },
    stdio: 'ignore',
  });
  const exited = once(server, 'exit');
  bench.defer(async () => {
    server.kill('SIGKILL');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  });
  await bench.until('Restate has the rooms', () => register(admin, objects), 30_000);
  const origin = `http://127.0.0.1:${ingress}`;
  await bench.until('Restate answers', () => answers(origin), 30_000);
  return { origin };
}

async function register(admin: number, objects: number): Promise<boolean> {
  return isOk(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${objects}` });
}

async function answers(origin: string): Promise<boolean> {
  return isOk(`${origin}/room/first/say`, { say: 'word' });
}

async function isOk(url: string, body: object): Promise<boolean> {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(url, { ...request, signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok === true;
}
