/**
 * `npm run example -- eve --nodes 3 [--members 5000] [--kill-every 15s] [--only KIND] [--for 1m] [--seed N]`: a cluster
 * of some nodes on this machine, whose nodes are killed, frozen, cut off, drained and rebalanced while it works, and
 * whose servers are restarted. The upstream has the last word: it ends with 0 only if no id waited longer than it may.
 * Called by `../main.ts`.
 */
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, resolveConfig, type Longwatch } from 'longwatch';
import { migrate } from 'longwatch/worker';
import { pino } from 'pino';
import { interrupted, interruption } from '../../../cli/interrupt';
import { temporaryFolder } from '../../../workers/dev/temporary';
import { BadDays } from './bad-days';
import { Beats } from './beats';
import { drawing } from './drawing';
import { readFlags, type NodesFlags } from './flags';
import { longestByKind, ofTheHealthy, tooLong, type Gap } from './gaps';
import { beats as definition } from './longwatch.config';
import { NodeProcess } from './processes';
import { bundleSources } from '../../../test/support/bundle';
import { Servers } from './servers';
import { EVERY_MS, SETTINGS, SLACK_MS } from './settings';
import { waysOfHost, waysOfProcess } from './ways';

const LOG = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
const READY_MS = 60_000;
const TELL_MS = 5_000;
/** After the last bad day everybody comes to rest. */
const REST_MS = 10_000;
const TRACKER = 'beats';

/** The parts of one run. */
interface Cluster {
  servers: Servers;
  longwatch: Longwatch;
  beats: Beats;
  nodes: NodeProcess[];
}

export async function runNodes(): Promise<number> {
  const flags = readFlags();
  const stopped = interruption('Ending the nodes and the servers …');
  const folder = temporaryFolder('eve-nodes');
  const servers = await Servers.start(folder, TRACKER);
  const { databaseUrl, temporalAddress, namespace } = servers.dev;
  await migrate(databaseUrl, LOG);
  await servers.watch();
  const beats = new Beats();
  // A node that had to bundle its workflows at each start would take ten seconds for it.
  const origin = await beats.start(flags.hosts ? '0.0.0.0' : '127.0.0.1');
  const env = { [SETTINGS.bundle]: await bundleSources() };
  const names = Array.from({ length: flags.nodes }, (_, i) => `node-${i + 1}`);
  const addresses = { databaseUrl, temporalAddress, origin };
  const waysOf = (number: number) => (flags.hosts ? waysOfHost(addresses, number) : waysOfProcess(addresses));
  const nodes: NodeProcess[] = [];
  for (const [at, name] of names.entries()) nodes.push(new NodeProcess(name, env, await waysOf(at)));
  const longwatch = await connect({ environment: { temporal: { address: temporalAddress, namespace }, databaseUrl } });
  try {
    const lived = live({ servers, longwatch, beats, nodes }, flags);
    // Its work fails when the servers end, and that is right.
    lived.catch(() => undefined);
    const wrong = await Promise.race([lived, interrupted(stopped)]);
    if (wrong === undefined) return 130;
    for (const line of wrong) console.log(`NOT so: ${line}`);
    console.log(wrong.length === 0 ? '\nall of it holds' : `\nit does not hold; the same again: --seed ${flags.seed}`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await longwatch.close();
    await beats.close();
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the promises that were not kept, a line each. */
async function live(cluster: Cluster, flags: NodesFlags): Promise<string[]> {
  const { longwatch, beats, nodes } = cluster;
  await Promise.all(nodes.map((node) => node.start()));
  const tracker = longwatch.tracker(TRACKER);
  const [resolved] = resolveConfig({ trackers: [definition] }).trackers;
  await tracker.start(resolved!.options);
  await tracker.add(
    Array.from({ length: flags.members }, (_, i) => String(90_000_001 + i)),
    { wait: true },
  );
  await until('every id was asked for', () => beats.size === flags.members);
  console.log(`${nodes.length} nodes watch ${flags.members.toLocaleString('en-US')} ids, each once a second\n`);

  const began = Date.now();
  const tell = (line: string) =>
    console.log(`${String(Math.round((Date.now() - began) / 1_000)).padStart(4)} s  ${line}`);
  const days = new BadDays(cluster, flags.kinds, drawing(flags.seed), tell);
  beats.begin(began);
  const timers = [setInterval(() => void tellNodes(cluster, tell), TELL_MS)];
  if (flags.killEveryMs !== undefined) timers.push(setInterval(() => days.next(), flags.killEveryMs));
  await delay(flags.forMs);
  for (const timer of timers) clearInterval(timer);
  await days.over();
  await delay(REST_MS);
  beats.end(Date.now());
  return report(cluster, flags, days, began);
}

async function tellNodes({ longwatch, beats }: Cluster, tell: (line: string) => void): Promise<void> {
  const report = await longwatch.nodes().catch(() => undefined);
  const list = (report?.nodes ?? []).map(({ name, pools, verdict }) => `${name} ${pools} (${verdict.word})`).join(', ');
  tell(`${beats.requests.toLocaleString('en-US')} requests; pools: ${list}`);
}

async function report(cluster: Cluster, flags: NodesFlags, days: BadDays, began: number): Promise<string[]> {
  const { longwatch, beats, nodes } = cluster;
  const timeoutMs = (await answered(() => longwatch.tracker(TRACKER).options())).heartbeatTimeoutMs;
  const longest = beats.longest();
  const at = (part: number) => `${longest[Math.min(longest.length - 1, Math.floor(longest.length * part))] ?? 0} ms`;
  console.log(`\n${beats.requests.toLocaleString('en-US')} requests for ${beats.size.toLocaleString('en-US')} ids`);
  console.log(`the longest time without one: half of the ids ${at(0.5)}, 99 of 100 ${at(0.99)}, the worst ${at(1)}`);
  const { stoodStillMs } = beats;
  if (stoodStillMs > 0) console.log(`the upstream itself stood still for ${stoodStillMs} ms, which is nobody's wait`);
  for (const [kind, ms] of longestByKind(beats.gaps, days.faults)) {
    const times = days.faults.filter((fault) => fault.kind === kind).length;
    console.log(`${times} × ${kind}: ${ms === 0 ? 'nobody waited' : `an id waited for ${ms} ms at most`}`);
  }

  const wrong: string[] = [...days.failed];
  const long = tooLong(beats.gaps, days.faults, timeoutMs);
  if (long.length > 0) wrong.push(`${long.length} waits were longer than they may be:${shown(long, began)}`);
  const { keepers, members, quarantined, late, hasRoot, pools } = await answered(() => inTheEnd(cluster));
  const healthy = ofTheHealthy(beats.gaps, days.faults, keepers);
  if (healthy.length > 0) {
    const what = `${healthy.length} ids of nodes that were well waited for more than ${EVERY_MS + SLACK_MS} ms`;
    wrong.push(`${what}:${shown(healthy, began)}`);
  }
  if (beats.size !== flags.members) wrong.push(`${beats.size} ids were asked for, not ${flags.members}`);
  if (members !== flags.members) wrong.push(`the tracker has ${members} members, not ${flags.members}`);
  if (quarantined > 0) wrong.push(`${quarantined} pools are in quarantine`);
  if (late > 0) wrong.push(`${late} values were replaced by older ones`);
  if (!hasRoot) wrong.push('the tracker has no root workflow');
  const without = pools.filter(({ node }) => node === null).length;
  if (without > 0) wrong.push(`${without} pools have no keeper in the end`);
  for (const { name, crashes } of nodes) if (crashes > 0) wrong.push(`${name} ended by itself ${crashes} times`);
  return wrong;
}

/** Gaps that began together and went the same way are one line. */
function shown(gaps: readonly Gap[], began: number): string {
  const groups = new Map<string, { ids: number; longest: number }>();
  for (const { from, to, before, after } of gaps) {
    const key = `from ${Math.floor((from - began) / 1_000)} s on, ${before} → ${after || 'nobody'}`;
    const { ids, longest } = groups.get(key) ?? { ids: 0, longest: 0 };
    groups.set(key, { ids: ids + 1, longest: Math.max(longest, to - from) });
  }
  const lines = [...groups].map(([key, { ids, longest }]) => `${key}: ${ids} ids, ${longest} ms at most`);
  return [...lines.slice(0, 20), ...(lines.length > 20 ? [`and ${lines.length - 20} more`] : [])]
    .map((line) => `\n  ${line}`)
    .join('');
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + READY_MS;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`it was not so in time: ${what}`);
    await delay(50);
  }
}

/** The servers' own words, when the days are over. */
async function inTheEnd({ servers, longwatch }: Cluster) {
  const tracker = longwatch.tracker(TRACKER);
  const { members, quarantined } = await tracker.status();
  return {
    ...{ members, quarantined, pools: await tracker.pools() },
    ...{ keepers: await servers.keepers(), late: await servers.writtenLate(), hasRoot: await servers.hasRoot() },
  };
}

/** Asks for half a minute: all of this runs on one machine, which may be too busy for an answer in time. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await delay(1_000);
  }
}
