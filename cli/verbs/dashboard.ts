/**
 * `longwatch dashboard`: the page and the HTTP API on a socket of their own. It needs no worker, and many may run. On
 * the loopback it is open to whoever is on this machine; elsewhere, and behind a proxy with a name of its own, it needs
 * tokens (`longwatch token new`).
 */
import { isIP } from 'node:net';
import { Option, type Command } from 'commander';
import { UsageError } from '../errors';
import { interrupted, interruption } from '../interrupt';
import { lazy } from '../lazy';
import { logger, print, printJson } from '../output';
import type { Dashboard, DashboardOptions } from '../../http/app';
import { definitionsOf } from '../declared';
import { environmentFlags, givenConverter, LEVELS, port, positive, verb, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  config?: string;
  connections?: number;
  port?: number;
  host: string;
  hostName?: string[];
  prefix?: string;
  temporalUi?: string;
  tokens?: string;
  open?: boolean;
  log: string;
}

export function addDashboard(program: Command): void {
  verb(program, 'dashboard', 'the page and the HTTP API, in a process of their own', [
    'longwatch dashboard',
    'longwatch dashboard --config longwatch.config.ts',
    'LONGWATCH_TOKENS="ana:admin:…" npx longwatch dashboard --host 0.0.0.0 --host-name ops.example.com',
  ])
    .option(
      '--config <file>',
      'the config module: members that a route places, values that a codec has encoded, keys of buffers by a function',
    )
    .option('--port <port>', 'where it listens; 0 takes a free one (8765, or a free one)', port)
    .option('--host <address>', 'the address that it listens on', '127.0.0.1')
    .option('--host-name <name>', 'a name by which it may be asked for, with its port; may be repeated', collect)
    .option('--prefix <path>', 'the path under which a proxy has it')
    .addOption(new Option('--temporal-ui <url>', "Temporal's own page, for links to workflows").env('TEMPORAL_UI_URL'))
    .addOption(new Option('--tokens <lines>', 'who may: lines of `longwatch token new`').env('LONGWATCH_TOKENS'))
    .option('--connections <n>', 'connections to PostgreSQL for what is shown; commands have others (5)', positive)
    .option('--open', 'also where others reach it, by an address or a name, whoever does may do everything')
    .addOption(new Option('--log <level>', 'how much is logged').choices(LEVELS).default('warn'))
    .action(dashboard);
}

const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

async function dashboard(flags: Flags): Promise<void> {
  const tokens = flags.tokens || undefined;
  if (tokens !== undefined && flags.open)
    throw new UsageError('either --open or --tokens (LONGWATCH_TOKENS), not both');
  const isLoopback = flags.host === 'localhost' || (isIP(flags.host) > 0 && /^(127\.|::1$)/.test(flags.host));
  const hosts = flags.hostName && used(() => lazy.http().readHosts(flags.hostName!));
  if (tokens === undefined && !flags.open) {
    const reached = reachedBy(flags, isLoopback);
    if (reached !== undefined)
      throw new UsageError(
        `${reached} it needs to know who may: give it tokens (npx longwatch token new), or --open where whoever reaches it may do everything`,
      );
  }
  const config = flags.config === undefined ? undefined : (await lazy.load().loadConfig(flags.config)).config;
  const made = dashboardOf({
    ...environmentFlags(flags),
    ...(config && definitionsOf(config)),
    dataConverter: config?.dataConverter ?? (await givenConverter()),
    connections: flags.connections,
    log: logger(flags.log),
    prefix: flags.prefix,
    temporalUi: flags.temporalUi || undefined,
    // A page of any site can turn its own name to an address of this network, and would command an open one.
    hosts: hosts ?? (isLoopback ? 'loopback' : tokens === undefined ? 'addresses' : 'any'),
    ...(tokens === undefined ? { open: true } : { tokens }),
  });
  const signal = interruption('Ending …');
  const served = await lazy.http().serveDashboard(made, flags);
  await (flags.json
    ? printJson({ ready: true, url: served.url })
    : print(`the dashboard is ready: ${served.url}${(flags.prefix ?? '').replace(/^\/|\/$/g, '')}`));
  await interrupted(signal);
  await served.stop();
}

/**
 * The way by which others than who is on this machine reach it. A name that is not one of the loopback says that a
 * proxy on this machine hands on what comes from elsewhere.
 */
function reachedBy({ host, hostName = [] }: Flags, isLoopback: boolean): string | undefined {
  if (!isLoopback) return `on ${host}`;
  const name = hostName.find((each) => !lazy.http().isOfLoopback(each));
  return name === undefined ? undefined : `as ${name}`;
}

const dashboardOf = (options: DashboardOptions): Dashboard => used(() => lazy.http().createDashboard(options));

/** Tokens, hosts, an address or a prefix that cannot be are a mistake of who gave them. @throws UsageError */
function used<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}
