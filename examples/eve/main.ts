/**
 * `npm run example -- eve [--for SECONDS]`: the example by itself, in a folder that goes away. Starts `longwatch dev`,
 * looks on, adds and removes a character, and ends with 0 only if every member is fresh and every rule of the upstream
 * was kept. With `--real-case` or `--nodes` it is another one: `real-case/main.ts`,
 * `nodes/main.ts`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TrackerHandle } from 'longwatch';
import { createUpstream } from 'longwatch/upstream';
import { runNodes } from './nodes/main';
import { realCase } from './real-case/main';
import { ADDRESS_FILE, type AddressFile } from './settings';
import type { Counters } from './upstream/control';

const ROOT = path.join(__dirname, '../..');
const NEWCOMER = '2112009999';
const READY_MS = 10 * 60_000;
const FIRST_FETCH_MS = 5_000;

async function main(): Promise<void> {
  if (process.argv.includes('--real-case')) return realCase(process.argv.slice(2));
  if (process.argv.some((flag) => flag.startsWith('--nodes'))) process.exit(await runNodes());
  const { values } = parseArgs({ options: { for: { type: 'string', default: '30' } } });
  if (!/^\d{1,5}$/.test(values.for)) throw new TypeError('--for must be a number of seconds');
  const folder = await mkdtemp(path.join(tmpdir(), 'longwatch-eve-'));
  // The library and the upstream's address are found from here.
  process.chdir(folder);
  const dev = startDev(folder);
  try {
    await ready(dev);
    const failed = await lookOn(folder, Number(values.for));
    for (const what of failed) console.error(`not so: ${what}`);
    process.exitCode = failed.length > 0 ? 1 : 0;
  } finally {
    if (dev.exitCode === null && dev.signalCode === null) {
      const ended = once(dev, 'exit');
      dev.kill('SIGINT');
      await ended;
    }
    process.chdir(ROOT);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Its own upstream and servers, whatever the environment points at. */
function startDev(folder: string): ChildProcess {
  const env = { ...process.env };
  for (const name of ['EVE_UPSTREAM', 'EVE_SSO', 'EVE_DATABASE_URL', 'DATABASE_URL', 'TEMPORAL_ADDRESS'])
    delete env[name];
  const config = path.join(__dirname, 'longwatch.config.ts');
  const flags = ['dev', '--config', config, '--dir', path.join(folder, '.longwatch'), '--json', '--log', 'error'];
  return spawn(process.execPath, [path.join(ROOT, 'bin/longwatch.js'), ...flags], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function ready(dev: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('longwatch dev was not ready in time')), READY_MS);
    dev.once('exit', (code) => reject(new Error(`longwatch dev ended with ${code}`)));
    dev.stdout!.on('data', (data: Buffer) => {
      said += data.toString();
      if (!/"ready":\s*true/.test(said)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Says what it sees; answers what should have been otherwise. */
async function lookOn(folder: string, seconds: number): Promise<string[]> {
  const file = path.join(folder, '.longwatch', ADDRESS_FILE);
  const { origin } = JSON.parse(await readFile(file, 'utf8')) as AddressFile;
  const upstream = createUpstream({ origin });
  const longwatch = await connect();
  const failed: string[] = [];
  const check = (holds: boolean, what: string): void => void (holds || failed.push(what));
  try {
    const tracker = longwatch.tracker('characters');
    console.log(`${(await tracker.status()).members} characters are tracked; looking on for ${seconds} s`);
    await delay(seconds * 1_000);

    const firstMs = await firstFetch(tracker);
    console.log(`character ${NEWCOMER}, added now: first value after ${firstMs ?? 'more than 5,000'} ms`);
    check(firstMs !== undefined, `an added character has a value within ${FIRST_FETCH_MS} ms`);
    await tracker.remove([NEWCOMER], { wait: true });

    const { members, operations } = await tracker.status();
    check(members === 200, `200 members, not ${members}`);
    for (const { name, fetched, failed: failures, stale } of operations) {
      console.log(`${name.padEnd(13)} fetched ${fetched}, failed ${failures}, stale ${stale}`);
      check(failures === 0, `${name} never fails`);
      check(stale === 0, `${name} is fresh for every member`);
    }
    const location = operations.find((operation) => operation.name === 'location');
    check((location?.fetched ?? 0) >= members, 'every location was fetched');

    const { counters } = (await upstream.get<{ counters: Counters }>('/_control')).body;
    console.log(`the upstream answered ${counters.requests} requests, ${counters.early} of them before Expires`);
    check(counters.early === 0, 'nothing is fetched before it expires');
    check(counters.mostRefreshesAtOnce <= 5, 'at most five refreshes at once');
    const statuses = new Set(Object.values(counters.routes).flatMap((counts) => Object.keys(counts)));
    check(
      [...statuses].every((status) => status === '200' || status === '304'),
      `no refusal: ${[...statuses].join(', ')}`,
    );
  } finally {
    await longwatch.close();
    await upstream.close();
  }
  return failed;
}

/** Milliseconds from the add to the first value; undefined: not in time. */
async function firstFetch(tracker: TrackerHandle): Promise<number | undefined> {
  const began = performance.now();
  await tracker.add([NEWCOMER], { wait: true });
  while (performance.now() - began < FIRST_FETCH_MS) {
    const { values } = await tracker.show(NEWCOMER);
    if (values.some((value) => value.operation === 'location' && value.fetchedAt !== null)) {
      return Math.round(performance.now() - began);
    }
    await delay(20);
  }
  return undefined;
}

main().catch((error: unknown) => {
  const wrongUse = error instanceof TypeError;
  console.error((error as Error).message);
  process.exitCode = wrongUse ? 2 : 1;
});
