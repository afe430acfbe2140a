/** `longwatch status`: every tracker and operation in one table; `--watch` draws it again each second, in place. */
import { once } from 'node:events';
import readline from 'node:readline';
import type { Command } from 'commander';
import type { Longwatch } from '../../client/longwatch';
import type { BufferSummary } from '../../client/buffer/status';
import type { Status, TrackerSummary } from '../../client/status';
import type { HeldBackSummary } from '../../client/tracker/waits';
import { explain } from '../errors';
import { describeHold } from './hold';
import { jobTable } from './jobs';
import { age, count, millis, plural, print, printJson, right, table } from '../output';
import { inline } from '../plain';
import { timesOf, type Times } from '../times';
import { verb, wait, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  watch?: boolean;
  every: number;
}

export function addStatus(program: Command): void {
  verb(program, 'status [name]', 'trackers with their operations, buffers, jobs, nodes', [
    'longwatch status',
    'longwatch status characters --watch',
    'longwatch status --json',
  ])
    .option('-w, --watch', 'draw it again and again; q or Ctrl-C ends it')
    .option('--every <seconds>', 'how often --watch looks', wait, 1)
    .action((name: string | undefined, flags: Flags) =>
      withLongwatch(flags, async (longwatch) => {
        if (flags.watch) return watch(longwatch, name, flags);
        const { status, times } = await look(longwatch, name);
        await (flags.json ? printJson(status) : print(render(status, times)));
      }),
    );
}

interface Look {
  status: Status;
  times: Times;
}

async function look(longwatch: Longwatch, name: string | undefined): Promise<Look> {
  const status = await read(longwatch, name);
  return { status, times: await timesOf(longwatch) };
}

async function read(longwatch: Longwatch, name: string | undefined): Promise<Status> {
  if (name === undefined) return longwatch.status();
  const kind = await longwatch.kindOf(name);
  // The handle refuses a name that is not there.
  const [trackers, buffers, jobs] = await Promise.all([
    kind === 'tracker' ? longwatch.tracker(name).status() : undefined,
    kind === 'buffer' ? longwatch.buffer(name).status() : undefined,
    kind === 'job' ? longwatch.job(name).status() : undefined,
  ]);
  const only = <T>(one: T | undefined): T[] => (one === undefined ? [] : [one]);
  return { ...(await longwatch.status()), trackers: only(trackers), buffers: only(buffers), jobs: only(jobs) };
}

async function watch(longwatch: Longwatch, name: string | undefined, flags: Flags): Promise<void> {
  const ending = new AbortController();
  const stopKeys = onQuit(() => ending.abort());
  const live = process.stdout.isTTY && !flags.json;
  let drawn = 0;
  try {
    // The first look fails as any verb does; a server that goes away later is shown and waited for.
    let first = true;
    while (!ending.signal.aborted) {
      const seen = await look(longwatch, name).catch((error: unknown) => {
        if (first) throw error;
        return explain(error).message;
      });
      first = false;
      if (flags.json) {
        await printJson(typeof seen === 'string' ? { error: seen } : seen.status);
      } else {
        const text = typeof seen === 'string' ? seen : render(seen.status, seen.times);
        drawn = await draw(`${text}\n\n${new Date().toLocaleTimeString('en-GB')}  q ends`, live, drawn);
      }
      await sleep(flags.every * 1_000, ending.signal);
    }
  } finally {
    stopKeys();
  }
}

/** Over what was drawn before, on a terminal. @returns how many lines the terminal shows. */
async function draw(text: string, live: boolean, before: number): Promise<number> {
  if (!live) {
    await print(text);
    return 0;
  }
  // A terminal that does not know its size says 0.
  const columns = process.stdout.columns || 120;
  const rows = process.stdout.rows || 50;
  // A line that wraps or scrolls away could not be drawn over.
  const lines = text.split('\n').slice(0, Math.max(1, rows - 1));
  if (before > 0) {
    readline.moveCursor(process.stdout, 0, -before);
    readline.cursorTo(process.stdout, 0);
    readline.clearScreenDown(process.stdout);
  }
  await print(lines.map((line) => line.slice(0, columns)).join('\n'));
  return lines.length;
}

function onQuit(quit: () => void): () => void {
  const keys = (data: Buffer): void => {
    const key = data.toString();
    if (key === 'q' || key === 'Q' || key === '\u0003' || key === '\u0004') quit();
  };
  process.once('SIGINT', quit).once('SIGTERM', quit);
  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  if (terminal) process.stdin.setRawMode(true).on('data', keys).resume();
  return () => {
    process.off('SIGINT', quit).off('SIGTERM', quit);
    if (terminal) process.stdin.off('data', keys).setRawMode(false).pause();
  };
}

/** Ends early, without a word, when the signal fires. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
  const held = setTimeout(() => undefined, ms);
  await once(timeout, 'abort');
  clearTimeout(held);
}

function render(status: Status, times: Times): string {
  if (status.trackers.length + status.buffers.length + status.jobs.length === 0) {
    return 'nothing has been started; start a tracker, buffer or job with: npx longwatch start NAME';
  }
  const nodes = status.nodes.filter((node) => node.live);
  const gone = status.nodes.filter((node) => !node.live);
  const lines = [
    ...status.trackers.flatMap((tracker) => [...renderTracker(tracker, times), '']),
    ...(status.jobs.length > 0 ? [jobTable(status.jobs, times), ''] : []),
    ...status.buffers.flatMap((buffer) => [...renderBuffer(buffer), '']),
    nodes.length === 0
      ? 'no worker is running'
      : `nodes: ${nodes.map((n) => `${inline(n.name)} (${plural(n.pools, 'pool')})`).join(', ')}`,
    ...(status.replica
      ? [`read from a replica that is ${age(status.replica.behindMs)} behind: all of it is as it was then`]
      : []),
    ...gone.map((node) => `gone: ${inline(node.name)}, last heard of ${times.ago(node.seenAt)}`),
  ];
  return lines.join('\n');
}

function renderTracker(tracker: TrackerSummary, times: Times): string[] {
  const facts = [
    tracker.state,
    plural(tracker.members, 'member'),
    `${count(tracker.poolsOnShift)} of ${plural(tracker.pools, 'pool')} on shift`,
    ...(tracker.quarantined > 0
      ? [`${count(tracker.quarantined)} QUARANTINED (npx longwatch pools ${tracker.name})`]
      : []),
    ...(tracker.unbegun > 0
      ? [`${count(tracker.unbegun)} that NO NODE BEGINS (npx longwatch pools ${tracker.name})`]
      : []),
    ...(tracker.gate === null ? [] : [`gate ${tracker.gate}`]),
  ];
  const holds = [
    ...tracker.holds.map((hold) => `  ${describeHold(hold)}`),
    ...tracker.heldBack.map((held) => `  ${describeHeldBack(held, times)}`),
  ];
  // Its members only receive.
  if (tracker.operations.length === 0) return [`${tracker.name}: ${facts.join(', ')}`, ...holds];
  return [
    `${tracker.name}: ${facts.join(', ')}`,
    table(
      [
        { head: 'operation' },
        right('every'),
        right('fetched'),
        right('failed'),
        right('skipped'),
        right('stale'),
        right('round ms'),
        right('late p50 ms'),
        right('late p99 ms'),
      ],
      tracker.operations.map((operation) => [
        operation.name,
        operation.enabled ? age(operation.everyMs) : 'off',
        count(operation.fetched),
        count(operation.failed),
        count(operation.skipped),
        `${operation.staleExact ? '' : '~'}${count(operation.stale)}`,
        millis(operation.lastRoundMs),
        millis(operation.lateP50Ms),
        millis(operation.lateP99Ms),
      ]),
    ),
    ...holds,
  ];
}

/** `location: 2,300 members are held back by esi/group (2,300 buckets), the first until 12:00:05` */
function describeHeldBack(held: HeldBackSummary, times: Times): string {
  const { operation, members, buckets, bucket, upstream, limit, closed, until } = held;
  const by = buckets === 1 ? inline(bucket) : `${upstream}/${limit} (${plural(buckets, 'bucket')})`;
  const time = until === null ? '' : `, the first until ${times.clock(until)}`;
  const verbs = members === 1 ? 'member is' : 'members are';
  return `${operation}: ${count(members)} ${verbs} held back by ${by}${closed ? ', which is closed' : ''}${time}`;
}

function renderBuffer(buffer: BufferSummary): string[] {
  const { accepted, done, pending, running, dead, merged, dropped } = buffer;
  const facts = [
    buffer.state,
    plural(buffer.shards.length, 'shard'),
    `${count(buffer.stored)} in PostgreSQL`,
    `${count(buffer.putOff)} put off`,
    ...(buffer.spilling ? ['AT ITS BOUND'] : []),
    ...(buffer.shrunk > 0 ? [`${buffer.shrunk} shrunk for memory`] : []),
    ...(buffer.ageMs > 5_000 ? [`as of ${age(buffer.ageMs)} ago`] : []),
  ];
  const sum = [accepted, done, pending, running, dead, merged, dropped].map(count);
  return [
    `${buffer.name}: ${facts.join(', ')}`,
    `  ${sum[0]} accepted ${buffer.balanced ? '=' : 'IS NOT'} ${sum[1]} done + ${sum[2]} pending + ${sum[3]} running + ` +
      `${sum[4]} dead + ${sum[5]} merged + ${sum[6]} dropped`,
    ...(buffer.lastError === null ? [] : [`  last error: ${inline(buffer.lastError.slice(0, 160))}`]),
    ...(dead > 0 ? [`  see: npx longwatch dead list ${buffer.name}`] : []),
  ];
}
