/**
 * The servers of a test file: a place at the stand of its worker (`stands.ts`), which is a database and a namespace of
 * its own; or servers of its own, where it kills them, or changes what all their databases share.
 */
import type { Logger } from 'pino';
import { startDevServers, type DevServers } from '../../workers/dev/servers';
import { PortTakenError } from '../../workers/dev/errors';
import { freePort } from '../../workers/metrics';
import { migrate } from '../../workers/migrate';

/** A test file's part of a stand. */
export interface Place {
  temporalAddress: string;
  namespace: string;
  /** It has Longwatch's tables. */
  databaseUrl: string;
}

interface OwnServers {
  /** Keeps what they store. */
  dir: string;
  log: Logger;
  onProgress?: (line: string) => void;
  synchronous?: 'OFF' | 'FULL';
  /** Given: only PostgreSQL is started. */
  temporalAddress?: string;
}

/** @param options.own not at a stand. Outside of Jest there is none. */
export async function serversOf({ own = false, ...options }: OwnServers & { own?: boolean }): Promise<DevServers> {
  const stands = process.env.LONGWATCH_TEST_STANDS;
  if (stands !== undefined && !own) return takePlace(`${stands}/${process.env.JEST_WORKER_ID}`);
  const servers = await startServers(options);
  await migrate(servers.databaseUrl, options.log);
  return servers;
}

/**
 * Servers for nobody else, not on the usual ports: while a test has its server killed, another test's would take them
 * over. A port that was free may be lost before the server has it; then others are taken.
 */
export async function startServers(options: Omit<OwnServers, 'log'> & { log?: Logger }): Promise<DevServers> {
  for (let tries = 1; ; tries++) {
    const ports = { temporal: await freePort(), postgres: await freePort() };
    try {
      return await startDevServers({ ui: false, ports, ...options });
    } catch (error) {
      if (!(error instanceof PortTakenError) || tries === 3) throw error;
    }
  }
}

async function takePlace(stand: string): Promise<DevServers> {
  const ask = async (method: 'POST' | 'DELETE', body?: Place): Promise<Place> => {
    const response = await fetch(stand, { method, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`the stand of this test file: ${await response.text()}`);
    return (await response.json()) as Place;
  };
  const place = await ask('POST');
  const notOwn = () => Promise.reject(new Error('other test files use these servers too: Stack.start({ own: true })'));
  return {
    ...place,
    notes: [],
    publish: () => Promise.resolve(),
    kill: notOwn,
    start: notOwn,
    stop: () => ask('DELETE', place).then(() => undefined),
  };
}
