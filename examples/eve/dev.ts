/**
 * The `dev` hook: `longwatch dev` starts the example's upstream beside the worker, and adds two hundred characters on
 * the first start. Exported by `longwatch.config.ts`.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DevHook } from 'longwatch';
import { closeEve } from './connection';
import { ADDRESS_FILE, DEFAULT_PORT, type AddressFile } from './settings';
import { startEveUpstream, type EveUpstream, type EveUpstreamOptions } from './upstream/server';

const FIRST_CHARACTER = 2_112_000_001;
const CHARACTERS = 200;
/** About what the real one takes. */
const OPTIONS: EveUpstreamOptions = { settings: { latencyMs: 20, jitterMs: 40 } };

export const dev: DevHook = {
  start: async ({ dir, log, databaseUrl }) => {
    const given = process.env.EVE_UPSTREAM;
    const upstream = given ? undefined : await startSomewhere();
    const origin = given ?? upstream!.origin;
    const written: AddressFile = { origin, databaseUrl };
    const file = path.join(dir, ADDRESS_FILE);
    await mkdir(dir, { recursive: true });
    // For its owner only: it holds the database's password.
    await writeFile(file, `${JSON.stringify(written)}\n`, { mode: 0o600 });
    const before = { origin: given, database: process.env.EVE_DATABASE_URL };
    setEnvironment('EVE_UPSTREAM', origin);
    setEnvironment('EVE_DATABASE_URL', before.database ?? databaseUrl);
    log.debug({ upstream: origin }, 'the upstream of the example');
    return {
      stop: async () => {
        setEnvironment('EVE_UPSTREAM', before.origin);
        setEnvironment('EVE_DATABASE_URL', before.database);
        await closeEve();
        await upstream?.close();
        await rm(file, { force: true });
      },
      lines: [`Upstream     ${origin}`],
    };
  },
  trackers: {
    characters: { ids: Array.from({ length: CHARACTERS }, (_, k) => String(FIRST_CHARACTER + k)) },
  },
};

/** On the usual port, or a free one when that is taken. */
async function startSomewhere(): Promise<EveUpstream> {
  try {
    return await startEveUpstream({ ...OPTIONS, port: DEFAULT_PORT });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return startEveUpstream(OPTIONS);
  }
}

function setEnvironment(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
