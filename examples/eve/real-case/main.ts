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
import { sharesOf, WINDOW_MS, type Spent } from './shares';
import { FIRST_CHARACTER, REFRESHES_AT_ONCE, RealCaseUpstream } from './upstream';

const ROOT = path.join(__dirname, '../../..');
const CONFIG = path.join(__dirname, 'longwatch.config.ts');
const REVOKED = 150;
const READY_MS = 10 * 60_000;
/** Something is fetched in each of these, once all are there. */
const STEP_MS = 10_000;
const WARM_UP_STEPS = 3;

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
  // Before the first request, so that whatever is spent until the end of a window is spent in the run.
  const began = Date.now();
  await tracker.start(config.trackers[0]!.options);
  await tracker.add(
    Array.from({ length: flags.characters }, (_, k) => String(FIRST_CHARACTER + k)),
    { wait: true },
  );
  console.log(`${flags.characters} characters on ${flags.nodes} nodes of one address, for ${flags.forMs / 1_000} s`);
  let before = sumOf(upstream);
  let idle = 0;
  let whole: Spent | undefined;
  // By the time since the start, so that a window ends with a step.
  let at = Math.floor((Date.now() - began) / STEP_MS) * STEP_MS;
  for (let step = 1; at < flags.forMs; step++) {
    at = Math.min(at + STEP_MS, flags.forMs);
    await delay(began + at - Date.now());
    const now = sumOf(upstream);
    if (step > WARM_UP_STEPS && now.asked === before.asked) idle++;
    if (step % 6 === 0)
      console.log(`${at / 1_000} s: ${now.asked} asked, ${now.refused} refused, ${now.tokens} tokens`);
    before = now;
    const windows = Math.floor(at / WINDOW_MS);
    if (windows > (whole?.windows ?? 0)) whole = spentOf(upstream, windows);
  }
  return verdict(upstream, flags, idle, Date.now() - began, whole);
}

function spentOf(upstream: RealCaseUpstream, windows: number): Spent {
  const [wallets, portraits] = ['char-wallet', 'char-public'].map((group) => sumOf(upstream, group).tokens);
  return { windows, wallets: wallets!, portraits: portraits! };
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
  // A whole window is used as far as a request of the greatest cost fits.
  const spent = whole ?? spentOf(upstream, 0);
  const errors = sumOf(upstream, 'errors').tokens;
  const { characters, half } = flags;
  const shares = sharesOf({ characters, half, tookMs, spent, errors, revoked: REVOKED });
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const of = whole
    ? `of ${whole.windows === 1 ? 'the window' : `${whole.windows} windows`}`
    : 'of a window not over yet';
  console.log(
    `wallets: ${percent(shares.wallets)} of the tokens ${of}; of a character ${spread(upstream, 'char-wallet')}`,
  );
  if (whole) check(shares.wallets >= 0.95, 'nineteen of twenty tokens that the wallets could use are used');
  console.log(`portraits: ${percent(shares.portraits)} of the tokens of the address ${of}`);
  if (whole) check(shares.portraits >= 0.95, 'nineteen of twenty tokens of the address are used');
  console.log(`errors: ${percent(shares.errors)} of those that may be made`);
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
