/**
 * Starts what a config declares, for `longwatch dev`: trackers, jobs and buffers are started, or given the options of
 * the config; one that was stopped by hand stays stopped, and one that is refused keeps no other from its start. Called
 * by `verbs/dev.ts`, which says what came of it. Its definitions are also known to `verbs/dashboard.ts`.
 */
import type { LoadedConfig } from '../config/load';
import { LongwatchError } from '../client/errors';
import type { Longwatch } from '../client/longwatch';
import { labelOf } from '../workflows/tracker/options';
import { remark } from './output';

interface Started {
  name: string;
  /** A job's kind: `regen`, `sweep` or `decay`. */
  kind?: string;
  state: string;
  members: number;
  /** One of its ids, for the lines of what to try next. */
  example?: string;
}

export interface StartedAll {
  /** Trackers, then jobs. */
  trackers: Started[];
  buffers: string[];
  /** The things that cannot be started as they are defined: a job whose table is not there, say. */
  refused: { name: string; error: string }[];
}

/** All labels that the config's trackers want of a node: the one worker of a development stack has them. */
export function labelsOf({ trackers }: Pick<LoadedConfig['config'], 'trackers'>): string[] {
  return [...new Set(trackers.flatMap(({ options }) => labelOf(options) ?? []))];
}

/** The code of a config that a client can have use for, as `connect` and `createDashboard` take it. */
export const definitionsOf = ({ trackers, buffers }: LoadedConfig['config']) => ({
  trackers: trackers.map(({ definition }) => definition),
  buffers: buffers.map(({ definition }) => definition),
});

/** @returns undefined: it was interrupted. */
export async function startDeclared(
  longwatch: Longwatch,
  { config, dev }: LoadedConfig,
  signal: AbortSignal,
): Promise<StartedAll | undefined> {
  const all: StartedAll = { trackers: [], buffers: [], refused: [] };
  for (const { name, options } of config.trackers) {
    if (signal.aborted) return undefined;
    const ids = dev?.trackers?.[name]?.ids ?? [];
    const started = await unlessRefused(all, name, () => startTracker(longwatch, name, options, ids));
    if (started) all.trackers.push(started);
  }
  for (const { name, options } of config.jobs) {
    if (signal.aborted) return undefined;
    const started = await unlessRefused(all, name, () => startJob(longwatch, name, options));
    if (started) all.trackers.push(started);
  }
  for (const { name, options } of config.buffers) {
    if (signal.aborted) return undefined;
    const started = await unlessRefused(all, name, () => startBuffer(longwatch, name, options));
    if (started) all.buffers.push(name);
  }
  return all;
}

/**
 * A fault of one definition is told and noted; PostgreSQL goes on running, where somebody may have to make a table
 * first. Whatever else goes wrong ends the start.
 */
async function unlessRefused<T>(all: StartedAll, name: string, start: () => Promise<T>): Promise<T | undefined> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof LongwatchError && error.usage)) throw error;
    all.refused.push({ name, error: error.message });
    remark(`'${name}' is not started: ${error.message}. Mend that, then: npx longwatch start ${name}`);
    return undefined;
  }
}

type Options = LoadedConfig['config']['trackers'][number]['options'];

/** Started, or given the options of the config; one that was stopped by hand stays stopped. */
async function startTracker(longwatch: Longwatch, name: string, options: Options, ids: string[]): Promise<Started> {
  const tracker = longwatch.tracker(name);
  const before = (await longwatch.trackers()).includes(name) ? await tracker.status() : undefined;
  if (before?.state === 'stopped') return { name, state: 'stopped', members: before.members };
  const { state } = await startOrChange(tracker, options);
  // The ids of the hook are a beginning: who removed some of them does not get them back.
  if (ids.length > 0 && !(await tracker.everHadMembers())) await tracker.add(ids, { wait: true });
  const { members } = await tracker.status();
  let example: string | undefined;
  for await (const member of tracker.list({ limit: 1 })) example = member.id;
  return { name, state, members, example };
}

type JobOptions = LoadedConfig['config']['jobs'][number]['options'];

/** As a tracker: started, or given the options of the config, unless it was stopped by hand. */
async function startJob(longwatch: Longwatch, name: string, options: JobOptions): Promise<Started> {
  const job = longwatch.job(name);
  const before = (await longwatch.jobs()).includes(name) ? await job.status() : undefined;
  if (before?.state === 'stopped') return { name, kind: options.kind, state: 'stopped', members: 0 };
  const { state } = await startOrChange(job, options);
  return { name, kind: options.kind, state, members: 0 };
}

type BufferOptions = LoadedConfig['config']['buffers'][number]['options'];

/** As a tracker: started, or given the options of the config, unless it was stopped by hand. */
async function startBuffer(longwatch: Longwatch, name: string, options: BufferOptions): Promise<true> {
  const buffer = longwatch.buffer(name);
  const before = (await longwatch.bufferNames()).includes(name) ? await buffer.status() : undefined;
  if (before?.state === 'stopped') {
    remark(`'${name}' was stopped by hand; start it with: npx longwatch start ${name}`);
    return true;
  }
  await startOrChange(buffer, options);
  return true;
}

interface Startable<Options, Result> {
  readonly name: string;
  start(options: Options): Promise<Result>;
  declare(options: Options): Promise<unknown>;
}

async function startOrChange<Options, Result extends { differs: boolean }>(
  handle: Startable<Options, Result>,
  options: Options,
): Promise<Result> {
  const result = await handle.start(options);
  if (result.differs) {
    await handle.declare(options);
    remark(`'${handle.name}' goes on with the changed options of the config`);
  }
  return result;
}
