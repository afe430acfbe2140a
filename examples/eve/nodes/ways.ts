/**
 * The ways of a node to the servers and to the upstream, each of which can be cut without either side being told. As a
 * process beside the others it has a proxy for each server, which swallows. As a host of its own (`--hosts`, as root on
 * Linux) it lives in a network namespace, with a cable for each of the three, which is pulled out. Used by
 * `processes.ts`.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Proxy } from '../../../test/support/proxy';

/** A server that a node needs. */
export type Server = 'postgres' | 'temporal';

export interface Addresses {
  databaseUrl: string;
  temporalAddress: string;
  /** It names the upstream. */
  origin: string;
}

export interface Ways {
  /** The node is told these. */
  readonly addresses: Addresses;
  /** Stands before its command. */
  readonly before: readonly string[];
  /** From now on nothing passes, and neither side hears of it. */
  cut(server: Server): Promise<void>;
  mend(server: Server): Promise<void>;
  close(): Promise<void>;
}

async function proxies(addresses: Addresses, host?: string | Record<Server, string>) {
  const of = (server: Server): string | undefined => (typeof host === 'object' ? host[server] : host);
  const postgres = await Proxy.start(addresses.databaseUrl, of('postgres'));
  const temporal = await Proxy.start(`tcp://${addresses.temporalAddress}`, of('temporal'));
  return { postgres, temporal };
}

/** A node on the machine of all others. */
export async function waysOfProcess(addresses: Addresses): Promise<Ways> {
  const to = await proxies(addresses);
  return {
    addresses: { ...addresses, databaseUrl: to.postgres.url, temporalAddress: new URL(to.temporal.url).host },
    before: [],
    cut: (server) => Promise.resolve(to[server].swallow()),
    mend: (server) => Promise.resolve(to[server].pass()),
    close: () => Promise.resolve([to.postgres, to.temporal].forEach((proxy) => proxy.close())),
  };
}

const CABLES = ['postgres', 'temporal', 'upstream'] as const;
type Cable = (typeof CABLES)[number];

const ip = (...words: string[]): Promise<unknown> => promisify(execFile)('ip', words);

/** A node as a host: a namespace with three cables to this machine, whose ends here stand in for the servers. */
export async function waysOfHost(addresses: Addresses, number: number): Promise<Ways> {
  const namespace = `longwatch-${process.pid}-${number}`;
  const endOf = (cable: Cable): string => `lw${process.pid % 10_000}-${number}${cable[0]}`;
  const netOf = (cable: Cable): string => `10.${100 + (process.pid % 100)}.${4 * number + CABLES.indexOf(cable)}`;
  await ip('netns', 'add', namespace);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  for (const cable of CABLES) {
    await ip('link', 'add', endOf(cable), 'type', 'veth', 'peer', 'name', cable, 'netns', namespace);
    await ip('address', 'add', `${netOf(cable)}.1/30`, 'dev', endOf(cable));
    await ip('link', 'set', endOf(cable), 'up');
    await ip('-n', namespace, 'address', 'add', `${netOf(cable)}.2/30`, 'dev', cable);
    await ip('-n', namespace, 'link', 'set', cable, 'up');
  }
  const to = await proxies(addresses, { postgres: `${netOf('postgres')}.1`, temporal: `${netOf('temporal')}.1` });
  const origin = new URL(addresses.origin);
  origin.hostname = `${netOf('upstream')}.1`;
  const told = { databaseUrl: to.postgres.url, temporalAddress: new URL(to.temporal.url).host, origin: origin.origin };
  return {
    addresses: told,
    before: ['ip', 'netns', 'exec', namespace],
    cut: async (server) => void (await ip('link', 'set', endOf(server), 'down')),
    mend: async (server) => void (await ip('link', 'set', endOf(server), 'up')),
    close: async () => {
      [to.postgres, to.temporal].forEach((proxy) => proxy.close());
      await ip('netns', 'delete', namespace);
    },
  };
}
