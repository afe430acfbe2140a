/**
 * `npm run example -- eve --real-case [--nodes 3] [--for 15m] [--characters 5000] [--half]`: several workers behind one
 * address, more wishes than the buckets allow, 150 characters that are refused again and again, a slow login server.
 * Prints what the upstream counted, and ends with 0 only if nothing was refused and something was fetched all the time.
 * Called by `../main.ts`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type Longwatch } from 'longwatch';
import { loadConfig } from 'longwatch/worker';
import { serve } from '../../upstreams/server';
import { FIRST_CHARACTER, REFRESHES_AT_ONCE, RealCaseUpstream } from './upstream';

const ROOT = path.join(__dirname, '../../..');
const CONFIG = path.join(__dirname, 'longwatch.config.ts');
const REVOKED = 150;
const READY_MS = 10 * 60_000;
/** Something is fetched in each of these, once all are there. */
const STEP_MS = 10_000;
const WARM_UP_STEPS = 3;
const WINDOW_MS = 15 * 60_000;

interface Flags {
  nodes: number;
  forMs: number;
  characters: number;
  half: boolean;
}

export async function realCase(args: string[]): Promise<void> {
  const flags = flagsOf(args);
  const folder = await mkdtemp(path.join(tmpdir(), 'longwatch-real-case-'));
  const upstream = new RealCaseUpstream(REVOKED, flags.half ? { share: 0.5 } : {});
  const served = await serve(upstream);
  const children: ChildProcess[] = [];
  process.chdir(folder);
  try {
    const env = environment(served.origin);
    // The stack, and the first node.
    children.push(await start(['dev', '--config', CONFIG, '--dir', path.join(folder, '.longwatch')], folder, env));
    for (let node = 1; node < flags.nodes; node++)
      children.push(
        await start(['worker', '--config', CONFIG, '--name', `node-${node}`, '--metrics-port', '0'], folder, env),
      );
    const longwatch = await connect();
    try {
      const failed = await lookOn(longwatch, upstream, flags);
      for (const what of failed) console.error(`not so: ${what}`);
      process.exitCode = failed.length > 0 ? 1 : 0;
    } finally {
      await longwatch.close();
    }
  } finally {
    for (const child of children.reverse()) await end(child);
    await served.close();
    process.chdir(ROOT);
    await rm(folder, { recursive: true, force: true });
  }
}

function flagsOf(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    options: {
      'real-case': { type: 'boolean' },
      nodes: { type: 'string', default: '3' },
      for: { type: 'string', default: '15m' },
      characters: { type: 'string', default: '5000' },
      half: { type: 'boolean', default: false },
    },
  });
  const [nodes, characters] = [Number(values.nodes), Number(values.characters)];
  const time = /^(\d{1,4})(s|m)$/.exec(values.for);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 16) throw new TypeError('--nodes must be a number from 1 to 16');
  if (!Number.isInteger(characters) || characters < 1 || characters > 100_000)
    throw new TypeError('--characters must be a number from 1 to 100000');
  if (!time) throw new TypeError('--for must be a time such as 90s or 15m');
  return { nodes, characters, half: values.half, forMs: Number(time[1]) * (time[2] === 'm' ? 60_000 : 1_000) };
}

/** Its own upstream and servers, whatever the environment points at. */
function environment(origin: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, EVE_UPSTREAM: origin };
  for (const name of ['EVE_SSO', 'EVE_DATABASE_URL', 'DATABASE_URL', 'TEMPORAL_ADDRESS']) delete env[name];
  return env;
}

/** Resolves when it says that it works. */
async function start(args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const flags = [...args, '--json', '--log', 'error'];
  const child = spawn(process.execPath, [path.join(ROOT, 'bin/longwatch.js'), ...flags], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${args[0]} was not ready in time`)), READY_MS);
    child.once('exit', (code) => reject(new Error(`${args[0]} ended with ${code}`)));
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
      if (!/"ready":\s*true/.test(said)) return;
      clearTimeout(timer);
      resolve();
    });
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  await ended;
}

/** Says what it sees; answers what should have been otherwise. */
async function lookOn(longwatch: Longwatch, upstream: RealCaseUpstream, flags: Flags): Promise<string[]> {
  const tracker = longwatch.tracker('characters');
  const { config } = await loadConfig(CONFIG);
  await tracker.start(config.trackers[0]!.options);
  await tracker.add(
    Array.from({ length: flags.characters }, (_, k) => String(FIRST_CHARACTER + k)),
    { wait: true },
  );
  console.log(`${flags.characters} characters on ${flags.nodes} nodes of one address, for ${flags.forMs / 1_000} s`);
  const began = Date.now();
  let before = sumOf(upstream);
  let idle = 0;
  let whole: Spent | undefined;
  for (let step = 1; Date.now() - began < flags.forMs; step++) {
    await delay(Math.min(STEP_MS, flags.forMs - (Date.now() - began)));
    const now = sumOf(upstream);
    if (step > WARM_UP_STEPS && now.asked === before.asked) idle++;
    if (step % 6 === 0) console.log(`${step * 10} s: ${now.asked} asked, ${now.refused} refused, ${now.tokens} tokens`);
    before = now;
    const windows = Math.floor((Date.now() - began) / WINDOW_MS);
    if (windows > (whole?.windows ?? 0)) whole = { windows, tokens: sumOf(upstream, 'char-wallet').tokens };
  }
  return verdict(upstream, flags, idle, Date.now() - began, whole);
}

/** The tokens of the wallets that were spent until the last of some whole windows ended. */
interface Spent {
  windows: number;
  tokens: number;
}

function verdict(
  upstream: RealCaseUpstream,
  flags: Flags,
  idle: number,
  tookMs: number,
  whole: Spent | undefined,
): string[] {
  const failed: string[] = [];
  const check = (holds: boolean, what: string): void => void (holds || failed.push(what));
  for (const group of ['char-wallet', 'char-location', 'char-public', 'errors']) {
    const { asked, refused, tokens } = sumOf(upstream, group);
    console.log(`${group}: ${asked} asked, ${refused} refused, ${tokens} tokens`);
    check(refused === 0, `${group}: nothing is refused`);
  }
  const { refreshes, mostAtOnce, refused } = upstream.logins;
  console.log(`logins: ${refreshes}, at most ${mostAtOnce} at once, ${refused} refused`);
  check(mostAtOnce <= REFRESHES_AT_ONCE && refused === 0, 'at most five refreshes at once');
  check(idle === 0, `something is fetched in every ten seconds, and nothing was in ${idle} of them`);
  // A whole window is used as far as a request of the greatest cost fits, and the errors but for the last.
  const bucket = flags.half ? 75 : 150;
  const used = whole
    ? whole.tokens / (whole.windows * bucket * flags.characters)
    : sumOf(upstream, 'char-wallet').tokens / (Math.min(bucket, (180 * tookMs) / WINDOW_MS) * flags.characters);
  const until = whole && whole.windows > 1 ? ` of ${whole.windows} windows` : '';
  console.log(
    `wallets: ${(100 * used).toFixed(1)} % of the tokens${until} that demand could use; of a character ${spread(upstream, 'char-wallet')}`,
  );
  if (whole) check(used >= 0.95, 'nineteen of twenty tokens that the wallets could use are used');
  const publicUsed =
    sumOf(upstream, 'char-public').tokens / ((flags.half ? 1_000 : 2_000) * Math.max(1, tookMs / WINDOW_MS));
  console.log(`portraits: ${(100 * publicUsed).toFixed(1)} % of the tokens of the address`);
  if (whole) check(publicUsed >= 0.95, 'nineteen of twenty tokens of the address are used');
  const errors = sumOf(upstream, 'errors').tokens / ((tookMs / 60_000) * Math.min(99, REVOKED));
  console.log(`errors: ${(100 * errors).toFixed(1)} % of those that may be made`);
  return failed;
}

/** Tokens of the keys of a group: the least, some on the way, the most. */
function spread(upstream: RealCaseUpstream, group: string): string {
  const tokens = [...upstream.counts].filter(([of]) => of.startsWith(group)).map(([, counts]) => counts.tokens);
  tokens.sort((a, b) => a - b);
  const at = (share: number): number => tokens[Math.min(tokens.length - 1, Math.floor(share * tokens.length))] ?? 0;
  return [0, 0.01, 0.1, 0.5, 1].map(at).join(' … ');
}

function sumOf(upstream: RealCaseUpstream, group = ''): { asked: number; refused: number; tokens: number } {
  const sum = { asked: 0, refused: 0, tokens: 0 };
  for (const [of, { asked, refused, tokens }] of upstream.counts) {
    if (!of.startsWith(group)) continue;
    sum.asked += asked;
    sum.refused += refused;
    sum.tokens += tokens;
  }
  return sum;
}
