/**
 * Finds the servers: flags, else the environment (Temporal's own variables and profile file, DATABASE_URL), else
 * the development stack that runs in this folder or one above it. Called by every verb and by `connect()`.
 *
 * The database may have three addresses: DATABASE_URL, which is written to; READ_DATABASE_URL, a replica for what is
 * only looked at; DIRECT_DATABASE_URL, the server itself where DATABASE_URL is a pooler's. docs/growth.md says when.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { TLSConfig } from '@temporalio/common/lib/internal-non-workflow';
import type * as envconfig from '@temporalio/envconfig';
import type * as envconfigToml from '@temporalio/envconfig/lib/envconfig-toml';
import { problemOf, showAddress } from './address';
import { findDevState, type DevState } from './dev/state';
import { EnvironmentError } from './errors';
import { errorMessage } from '../workflows/lib/text';

/** The settings that connect to Temporal, for a client and a worker alike. */
export interface TemporalTarget {
  /** `host:port`. */
  address: string;
  namespace: string;
  tls?: TLSConfig | boolean;
  apiKey?: string;
  metadata?: Record<string, string>;
  /** A codec server that the profile names, for people's tools; it encodes nothing here. */
  codecEndpoint?: string;
}

/** The command line's flags, or the options of `connect`; each wins over the environment. */
export interface EnvironmentFlags {
  /** Temporal's `host:port`. */
  address?: string;
  namespace?: string;
  databaseUrl?: string;
  /**
   * Counts only beside `databaseUrl`; so do the environment's beside DATABASE_URL: a read must not go to another
   * database.
   */
  readDatabaseUrl?: string;
  directDatabaseUrl?: string;
}

export interface Environment {
  temporal: TemporalTarget;
  /** Undefined when nothing says where the database is; {@link requireDatabase} refuses that. */
  databaseUrl?: string;
  /** A replica, which may be behind, for what is only shown. @default databaseUrl */
  readDatabaseUrl?: string;
  /** The server itself, where `databaseUrl` is that of a pooler in transaction mode. @default databaseUrl */
  directDatabaseUrl?: string;
  /** The development stack, where that is what the addresses came from. */
  dev?: DevState;
  /** A {@link ShownEnvironment} is not an environment. */
  shown?: never;
}

export const DEFAULT_ADDRESS = '127.0.0.1:7233';

/** @throws EnvironmentError when Temporal's profile file or a certificate it names cannot be read. */
export function resolveEnvironment(
  flags: EnvironmentFlags = {},
  from: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Environment {
  const env = from.env ?? process.env;
  const given = temporalFromEnvironment(env);
  const running = findDevState(from.cwd ?? process.cwd(), env);
  // A profile file on this machine that nobody pointed at says less than a stack that runs here; and a database is
  // taken from that stack only together with its Temporal, for the two belong to each other.
  const asked = flags.address ?? env.TEMPORAL_ADDRESS;
  const chosen = Boolean(asked || env.TEMPORAL_PROFILE || env.TEMPORAL_CONFIG_FILE);
  const address = asked || (running && !chosen ? running.temporalAddress : (given.address ?? DEFAULT_ADDRESS));
  if (address.includes('@') || /^https?:/i.test(address)) {
    throw new EnvironmentError("Temporal's address must look like host:7233; a key goes into TEMPORAL_API_KEY");
  }
  const dev = running && running.temporalAddress === address ? running : undefined;
  const own =
    dev && !chosen
      ? {}
      : { tls: given.tls, apiKey: given.apiKey, metadata: given.metadata, codecEndpoint: given.codecEndpoint };
  return {
    temporal: {
      ...own,
      address,
      namespace: flags.namespace ?? (env.TEMPORAL_NAMESPACE || (dev?.namespace ?? given.namespace ?? 'default')),
    },
    ...databaseFrom(flags, env, dev),
    dev,
  };
}

type DatabaseAddresses = Pick<Environment, 'databaseUrl' | 'readDatabaseUrl' | 'directDatabaseUrl'>;

/** All from one source: addresses of two sources would be those of two databases. */
function databaseFrom(flags: EnvironmentFlags, env: NodeJS.ProcessEnv, dev: DevState | undefined): DatabaseAddresses {
  const { databaseUrl, readDatabaseUrl, directDatabaseUrl } = flags;
  if (databaseUrl !== undefined) return { databaseUrl, readDatabaseUrl, directDatabaseUrl };
  if (!env.DATABASE_URL) return { databaseUrl: dev?.databaseUrl };
  return {
    databaseUrl: env.DATABASE_URL,
    readDatabaseUrl: env.READ_DATABASE_URL || undefined,
    directDatabaseUrl: env.DIRECT_DATABASE_URL || undefined,
  };
}

/** The database's address. @throws EnvironmentError that names each way to give it. */
export function requireDatabase(environment: Environment): string {
  if (environment.databaseUrl === undefined) {
    throw new EnvironmentError(
      'nothing says where the database is: start the development stack in this folder (npx longwatch dev), ' +
        'or set DATABASE_URL, or give --database URL',
      { usage: false },
    );
  }
  const { databaseUrl, readDatabaseUrl, directDatabaseUrl } = environment;
  const given = {
    'the database address': databaseUrl,
    READ_DATABASE_URL: readDatabaseUrl,
    DIRECT_DATABASE_URL: directDatabaseUrl,
  };
  for (const [what, url] of Object.entries(given)) {
    if (url !== undefined) checkAddress(url, what);
  }
  return databaseUrl;
}

/** @throws EnvironmentError that says what is wrong with a database's address, and nothing of what stands in it. */
export function checkAddress(url: string, what = 'the database address'): void {
  const problem = problemOf(url);
  if (problem !== undefined) throw new EnvironmentError(`${what} ${problem}`);
}

/** The same without its secrets, for whoever prints it. */
export function shownEnvironment(environment: Environment): ShownEnvironment {
  const { temporal, databaseUrl, readDatabaseUrl, directDatabaseUrl } = environment;
  const shown = (url: string | undefined) => (url === undefined ? undefined : showAddress(url));
  return {
    shown: true,
    temporal: { address: temporal.address, namespace: temporal.namespace },
    databaseUrl: shown(databaseUrl),
    readDatabaseUrl: shown(readDatabaseUrl),
    directDatabaseUrl: shown(directDatabaseUrl),
  };
}

/**
 * The place that a connection leads to: no password, no key, nothing of an address but its user, host, port and name.
 */
export interface ShownEnvironment {
  /** It is for people to read: with its passwords left out nothing can be connected to. */
  shown: true;
  temporal: { address: string; namespace: string };
  databaseUrl?: string;
  readDatabaseUrl?: string;
  directDatabaseUrl?: string;
}

/**
 * The files that may hold Temporal's profiles on this machine, whatever its system is. One that does not exist is not
 * read.
 */
function profileFiles(env: NodeJS.ProcessEnv): string[] {
  const { APPDATA, HOME, XDG_CONFIG_HOME } = env;
  const folders = [
    APPDATA,
    XDG_CONFIG_HOME,
    HOME && path.join(HOME, '.config'),
    HOME && path.join(HOME, 'Library', 'Application Support'),
  ];
  return folders.flatMap((folder) => (folder ? [path.join(folder, 'temporalio', 'temporal.toml')] : []));
}

function temporalFromEnvironment(env: NodeJS.ProcessEnv): Partial<TemporalTarget> {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  if (
    !Object.keys(set).some((name) => name.startsWith('TEMPORAL_')) &&
    !profileFiles(env).some((file) => existsSync(file))
  ) {
    return {};
  }
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- loads the SDK, which most verbs have no use for
    const { loadClientConnectConfig } = require('@temporalio/envconfig') as typeof envconfig;
    // The public function leaves the codec out.
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- loads a part of the SDK, as the line before
    const { tomlLoadClientConfigProfile } = require('@temporalio/envconfig/lib/envconfig-toml') as typeof envconfigToml;
    const { codec } = tomlLoadClientConfigProfile({ overrideEnvVars: set as Record<string, string> });
    const { connectionOptions, namespace } = loadClientConnectConfig({
      overrideEnvVars: set as Record<string, string>,
    });
    const { address, tls, apiKey, metadata } = connectionOptions;
    return {
      address,
      namespace,
      codecEndpoint: codec?.endpoint || undefined,
      tls: tls ?? undefined,
      apiKey: typeof apiKey === 'string' ? apiKey : undefined,
      metadata: metadata as Record<string, string> | undefined,
    };
  } catch (error) {
    // The first line says what is wrong; those after it are of the file, which may have keys in it.
    const [message] = errorMessage(error).split('\n');
    const { line } = error as { line?: unknown };
    const where = typeof line === 'number' ? ` (line ${line})` : '';
    throw new EnvironmentError(`Temporal's settings in the environment cannot be read: ${message}${where}`);
  }
}
