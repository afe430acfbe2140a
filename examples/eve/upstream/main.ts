/**
 * The example's upstream by itself: `tsx examples/eve/upstream/main.ts [--port N] [--seed N]`. For several workers, the
 * bench and the chaos tests. Says its address on stdout, one line of JSON.
 */
import { parseArgs } from 'node:util';
import { startEveUpstream } from './server';

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new TypeError(`--${name} must be a whole number`);
  return Number(text);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: 'string' }, seed: { type: 'string' } } });
  const upstream = await startEveUpstream({ port: whole('port', values.port), seed: whole('seed', values.seed) });
  console.log(JSON.stringify({ origin: upstream.origin }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void upstream.close());
}

main().catch((error: unknown) => {
  console.error((error as Error).message);
  process.exitCode = error instanceof TypeError ? 2 : 1;
});
