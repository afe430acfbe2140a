/**
 * `npm run example -- upstreams NAME [--port N]`: one of the simulated upstreams until Ctrl-C, and then what it
 * counted. `GET /_counts` says it while it runs.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Esi } from './esi';
import { GitHub } from './github';
import { serve, type SimulatedUpstream } from './server';
import { Shopify } from './shopify';

const UPSTREAMS: Record<string, () => SimulatedUpstream> = {
  esi: () => new Esi(),
  'esi-half': () => new Esi({ share: 0.5 }),
  github: () => new GitHub(),
  shopify: () => new Shopify(),
};

const USAGE = `npm run example -- upstreams NAME [--port N], with NAME one of ${Object.keys(UPSTREAMS).join(', ')}`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string' } } });
  const make = Object.hasOwn(UPSTREAMS, positionals[0] ?? '') ? UPSTREAMS[positionals[0]!] : undefined;
  const port = Number(values.port ?? 0);
  if (make === undefined || positionals.length > 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const upstream = make();
  const served = await serve(upstream, port);
  process.stdout.write(`${positionals[0]} listens at ${served.origin}; Ctrl-C ends it\n`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await served.close();
  for (const [of, { asked, refused, tokens }] of upstream.counts)
    process.stdout.write(`${of}: ${asked} asked, ${refused} refused, ${tokens} tokens\n`);
  return 0;
}

main().then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    process.exitCode = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
  },
);
