/**
 * `npm run example -- chat`: servers, a node, and the front, until Ctrl-C. With `--nodes 3 [--rooms 2000]
 * [--kill-every 15s] [--only KIND] [--for 1m] [--seed N]` it is a trial: four programs say numbered words in the rooms
 * while nodes are killed, drained, frozen and rebalanced, and it ends with 0 only if each word was handled once and in
 * its order, and so was all that the rooms have told their users.
 */
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, resolveConfig, type Longwatch } from 'longwatch';
import { migrate } from 'longwatch/worker';
import { pino } from 'pino';
import { interrupted, interruption } from '../../cli/interrupt';
import { bundleSources } from '../../test/support/bundle';
import { temporaryFolder } from '../../workers/dev/temporary';
import { BadDays } from '../eve/nodes/bad-days';
import { COLD_START_MS } from '../eve/nodes/gaps';
import { drawing } from '../eve/nodes/drawing';
import { readFlags, type NodesFlags } from '../eve/nodes/flags';
import { NodeProcess } from '../eve/nodes/processes';
import { Servers } from '../eve/nodes/servers';
import { SETTINGS } from '../eve/nodes/settings';
import { waysOfHost, waysOfProcess } from '../eve/nodes/ways';
import { Front } from './front';
import { countHandled, fill, Speaker, type Handled } from './load';
import config from './longwatch.config';

const LOG = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
const WORKER = `${__dirname}/worker.ts`;
const TELL_MS = 5_000;
/** After the last word: what waits is handled within this. */
const REST_MS = 60_000;
const SPEAKERS = 4;
const WORDS_PER_SECOND = 25;
/** A word waits so long at most where nothing happens, and two time-outs more where two nodes in a row were hit. */
const SLACK_MS = 3_000;
/** A server that is restarted is away for about as long. */
const AWAY_MS = 5_000;
const NAMES_MS = 1_000;
const PORT = 8_080;

interface Cluster {
  servers: Servers;
  longwatch: Longwatch;
  nodes: NodeProcess[];
}

async function run(): Promise<number> {
  const isTrial = process.argv.some((flag) => flag.startsWith('--nodes'));
  const flags = readFlags(process.argv.slice(2), 'rooms', '2000');
  const stopped = interruption('Ending the nodes and the servers …');
  const folder = temporaryFolder('chat');
  const servers = await Servers.start(folder, 'rooms');
  const { databaseUrl, temporalAddress, namespace } = servers.dev;
  await migrate(databaseUrl, LOG);
  // A node that had to bundle its workflows at each start would take ten seconds for it.
  const env = { [SETTINGS.bundle]: await bundleSources() };
  const addresses = { databaseUrl, temporalAddress, origin: 'http://127.0.0.1:9' };
  const nodes: NodeProcess[] = [];
  for (let number = 0; number < (isTrial ? flags.nodes : 1); number++) {
    const ways = flags.hosts ? await waysOfHost(addresses, number) : await waysOfProcess(addresses);
    nodes.push(new NodeProcess(`node-${number + 1}`, env, ways, WORKER));
  }
  const environment = { temporal: { address: temporalAddress, namespace }, databaseUrl };
  const longwatch = await connect({ environment });
  try {
    const cluster = { servers, longwatch, nodes };
    await open(cluster);
    const lived = isTrial ? trial(cluster, flags, () => connect({ environment })) : serve(cluster);
    // Its work fails when the servers end, and that is right.
    lived.catch(() => undefined);
    const wrong = await Promise.race([lived, interrupted(stopped)]);
    if (wrong === undefined) return isTrial ? 130 : 0;
    for (const line of wrong) console.log(`NOT so: ${line}`);
    console.log(wrong.length === 0 ? '\nall of it holds' : `\nit does not hold; the same again: --seed ${flags.seed}`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.race([longwatch.close(), delay(REST_MS, undefined, { ref: false })]);
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function open({ longwatch, nodes }: Cluster): Promise<void> {
  await Promise.all(nodes.map((node) => node.start()));
  for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
  // Nodes read the names of all trackers each second: from then on a room may send to users.
  await delay(2 * NAMES_MS);
}

async function serve({ longwatch }: Cluster): Promise<string[]> {
  const front = new Front(longwatch);
  const address = await front.start(Number(process.env.PORT ?? PORT));
  console.log(`the rooms are at ${address}; Ctrl-C ends them`);
  return new Promise<string[]>(() => undefined);
}

/** @returns the promises that were not kept, a line each */
async function trial(cluster: Cluster, flags: NodesFlags, newProgram: () => Promise<Longwatch>): Promise<string[]> {
  const { longwatch } = cluster;
  const { members: roomCount } = flags;
  await fill(longwatch, roomCount);
  console.log(`${cluster.nodes.length} nodes keep ${roomCount} rooms, each with a user who listens\n`);
  const began = Date.now();
  const tell = (line: string): void =>
    console.log(`${String(Math.round((Date.now() - began) / 1_000)).padStart(4)} s  ${line}`);
  const days = new BadDays(cluster, flags.kinds, drawing(flags.seed), tell);
  const programs = await Promise.all(Array.from({ length: SPEAKERS }, newProgram));
  const speakers = programs.map(
    (program, at) => new Speaker(`speaker-${at + 1}`, program, roomCount, drawing(flags.seed + at)),
  );
  const sent = (): number => speakers.reduce((sum, speaker) => sum + speaker.sent, 0);
  const tellSent = (): void => {
    const longest = Math.max(...speakers.map((speaker) => speaker.lately()));
    tell(`${sent()} words were accepted; requests waited for ${longest} ms at most`);
  };
  const timers = [setInterval(tellSent, TELL_MS)];
  if (flags.killEveryMs !== undefined) timers.push(setInterval(() => days.next(), flags.killEveryMs));
  const spoken = speakers.map((speaker) => speaker.speak(WORDS_PER_SECOND));
  await delay(flags.forMs);
  for (const speaker of speakers) speaker.stop();
  for (const timer of timers) clearInterval(timer);
  await Promise.all(spoken);
  await days.over();
  await Promise.all(programs.map((program) => program.close()));
  return report(cluster, flags, days, speakers);
}

async function report(
  { longwatch, nodes }: Cluster,
  { members: roomCount }: NodesFlags,
  days: BadDays,
  speakers: readonly Speaker[],
): Promise<string[]> {
  const sent = speakers.reduce((sum, speaker) => sum + speaker.sent, 0);
  const handled = await settled(longwatch, roomCount, sent);
  const timeoutMs = (await longwatch.tracker('rooms').options()).heartbeatTimeoutMs;
  const allowedMs = SLACK_MS + longestOf(days, timeoutMs);
  const longest = Math.max(...speakers.map(({ longestRequestMs }) => longestRequestMs));
  console.log(
    `\nsent ${sent}, handled ${handled.words}; told to users ${handled.lines}; not in order ${handled.wrong}`,
  );
  console.log(
    `the longest wait of a word for its turn ${handled.longestMs} ms, of a request for its answer ${longest} ms`,
  );

  const wrong = [...days.failed, ...speakers.flatMap(({ failures }) => failures.slice(0, 5))];
  if (handled.words !== sent) wrong.push(`${sent} words were accepted, and ${handled.words} handled`);
  if (handled.lines !== sent) wrong.push(`${sent} words were accepted, and users were told of ${handled.lines}`);
  if (handled.wrong > 0) wrong.push(`${handled.wrong} came twice, or not in their order`);
  if (handled.longestMs > allowedMs) wrong.push(`a word waited ${handled.longestMs} ms for its turn, not ${allowedMs}`);
  for (const name of ['rooms', 'users']) {
    const tracker = longwatch.tracker(name);
    const { members, quarantined } = await tracker.status();
    if (members !== roomCount) wrong.push(`${name} has ${members} members, not ${roomCount}`);
    if (quarantined > 0) wrong.push(`${quarantined} pools of ${name} are in quarantine`);
    const dead = await tracker.dead.count();
    if (dead > 0) wrong.push(`${name} has ${dead} dead letters`);
  }
  for (const { name, crashes } of nodes) if (crashes > 0) wrong.push(`${name} ended by itself ${crashes} times`);
  return wrong;
}

/** The longest that a bad day may keep a word waiting, with another one after it. Milliseconds. */
function longestOf({ faults }: BadDays, timeoutMs: number): number {
  const longest = faults.map(({ isOutage, nodes, at, until }) => {
    if (isOutage) return until - at + COLD_START_MS;
    return nodes.length > 0 ? 2 * timeoutMs : AWAY_MS;
  });
  return Math.max(0, ...longest);
}

/** Words that were accepted may wait for their turn still. */
async function settled(longwatch: Longwatch, roomCount: number, sent: number): Promise<Handled> {
  for (const end = Date.now() + REST_MS; ; await delay(500)) {
    const handled = await countHandled(longwatch, roomCount);
    if ((handled.words === sent && handled.lines === sent) || Date.now() > end) return handled;
  }
}

run().then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
