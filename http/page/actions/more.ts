/** The actions on jobs, buckets of upstreams, and durable activities. */
import type { TickSummary } from '../../../client/job/ticks';
import { at, get, send } from '../lib/api';
import { count, duration, plural, short, verb } from '../lib/format';
import type { BucketSummary, JobSummary } from '../lib/state';
import { line, type Action, type Preview } from './action';

// ── Jobs ──

export function runAction({ name, kind }: JobSummary): Action {
  return {
    title: `Run now: ${name}`,
    button: 'Run now',
    role: 'operate',
    says: (state) => runSays(state.status.jobs.find((job) => job.name === name)),
    command: (_values, why) => line(`${kind} run`, [name], { why }),
    act: async (_values, why, how) => {
      const tick = await send<TickSummary>('POST', at('jobs', name, 'run'), { why }, how);
      const failed = tick.failed > 0 ? `, ${count(tick.failed)} failed` : '';
      return `${plural(tick.rows, 'row')} in ${duration(tick.ms)}${failed}`;
    },
  };
}

function runSays(job: JobSummary | undefined): Preview {
  if (!job) return { says: [], refused: 'there is no job of this name any more' };
  if (job.state === 'stopped') return { says: [], refused: 'it is stopped; start it first' };
  const last = job.last
    ? `The last tick had ${plural(job.last.rows, 'row')} and took ${duration(job.last.ms)}.`
    : 'It has had no tick yet.';
  const first = job.open
    ? `It begins when the tick that is under way (${count(job.open.rows)} rows so far) has ended.`
    : 'It begins at once, beside the schedule.';
  return { says: [first, last] };
}

/** Dead letters of a sweep. @param keys all of them, unless given */
export function retryRowsAction(job: JobSummary, keys?: readonly string[][]): Action {
  const which = keys ? plural(keys.length, 'row') : 'all failed rows';
  return {
    title: `Retry ${which} of ${job.name}`,
    button: 'Retry',
    role: 'operate',
    says: (state) => {
      const now = state.status.jobs.find(({ name }) => name === job.name)?.failedRows ?? 0;
      if (now === 0) return { says: [], refused: 'no row has failed' };
      return {
        says: [
          `${plural(keys?.length ?? now, 'row')} of ${count(now)} that failed ${verb(keys?.length ?? now, 'is', 'are')} handled again when due.`,
        ],
      };
    },
    command: (_values, why) =>
      line('sweep retry', [job.name, ...(keys ?? []).map((key) => JSON.stringify(key))], { why }),
    act: async (_values, why, how) => {
      const path = at('jobs', job.name, 'failed-rows', 'retry');
      const { rows } = await send<{ rows: number }>('POST', path, { keys, why }, how);
      return `${plural(rows, 'row')} will be handled when due`;
    },
  };
}

// ── Upstreams ──

const TIMES: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `5m` as milliseconds; undefined: it is not a time. */
function millisecondsOf(text: string): number | undefined {
  const [, amount, unit] = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$/.exec(text) ?? [];
  return amount === undefined || unit === undefined ? undefined : Number(amount) * TIMES[unit]!;
}

/** As it is now: the live state has the first hundred only. */
const bucketNow = (bucket: string, signal: AbortSignal): Promise<BucketSummary> =>
  get<BucketSummary>(at('buckets', bucket), {}, signal);

/** @param forTime the time that an undo begins with */
export function closeAction(bucket: string, forTime = '5m'): Action {
  return {
    title: `Close ${bucket}`,
    button: 'Close',
    role: 'operate',
    fields: [{ name: 'for', label: 'for', kind: 'text', value: forTime, hint: '30s, 5m, 2h' }],
    asks: async ({ for: time = '' }, signal) => {
      const ms = millisecondsOf(time);
      if (ms === undefined || ms < 1) return { says: [], refused: 'write a time: 30s, 5m, 2h' };
      const now = await bucketNow(bucket, signal);
      const wants = now.nodes.reduce((sum, node) => sum + node.wants, 0);
      return {
        says: [
          ...(now.closedMs > 0 ? [`${closedSays(now)}; the new time counts.`] : []),
          `No node sends for it for ${duration(ms)}, whatever the upstream says meanwhile.`,
          `Nodes would spend ${short(wants)} tokens a second; members that need it wait, and are not failed.`,
        ],
        undo: now.closedMs > 0 ? closeAction(bucket, secondsOf(now)) : openAction(bucket),
      };
    },
    command: ({ for: time = '' }, why) => line('budget close', [bucket], { for: time.trim(), why }),
    act: async ({ for: time = '' }, why, how) => {
      const body = { bucket, forMs: Math.round(millisecondsOf(time) ?? 0), why };
      const { items } = await send<{ items: BucketSummary[] }>('POST', 'buckets/close', body, how);
      return `${plural(items.length, 'bucket')} closed`;
    },
  };
}

const secondsOf = ({ closedMs }: BucketSummary): string => `${Math.ceil(closedMs / 1_000)}s`;

const closedSays = ({ closedMs, closedReason }: BucketSummary): string =>
  `It is closed for another ${duration(closedMs)}: ${closedReason ?? 'nobody said why'}`;

export function openAction(bucket: string): Action {
  return {
    title: `Open ${bucket}`,
    button: 'Open',
    role: 'operate',
    asks: async (_values, signal) => {
      const now = await bucketNow(bucket, signal);
      if (now.closedMs <= 0) return { says: [], refused: 'it is open already' };
      return {
        says: [
          `${closedSays(now)}.`,
          'Nodes spend from it again within a second. A refusal of the upstream closes it again.',
        ],
        undo: closeAction(bucket, secondsOf(now)),
      };
    },
    command: (_values, why) => line('budget open', [bucket], { why }),
    act: async (_values, why, how) => {
      const { items } = await send<{ items: BucketSummary[] }>('POST', 'buckets/open', { bucket, why }, how);
      return `${plural(items.length, 'bucket')} opened`;
    },
  };
}

// ── Durable activities ──

export function retryCompensationAction(task: string, activity: string, attempts: number): Action {
  return {
    title: `Retry ${activity}`,
    button: 'Retry',
    role: 'operate',
    says: () => ({
      says: [`The compensation that failed after ${plural(attempts, 'attempt')} runs again, with all of its attempts.`],
    }),
    command: (_values, why) => line('saga retry', [task], { why }),
    act: async (_values, why, how) => {
      const { workflow } = await send<{ workflow: string }>('POST', at('compensations', task, 'retry'), { why }, how);
      return `it runs as workflow ${workflow}`;
    },
  };
}

export function resolveCompensationAction(task: string, activity: string): Action {
  return {
    title: `Resolve ${activity}`,
    button: 'Resolve',
    role: 'admin',
    danger: true,
    fields: [{ name: 'note', label: 'what was done by hand', kind: 'text', value: '', required: true }],
    says: (_state, { note = '' }) =>
      note.trim() === ''
        ? { says: [], refused: 'write what was done by hand' }
        : { says: ['The compensation is counted as done, and never runs again.'] },
    command: ({ note = '' }, why) => line('saga resolve', [task], { note: note.trim(), why }),
    act: async ({ note = '' }, why, how) => {
      await send('POST', at('compensations', task, 'resolve'), { note: note.trim(), why }, how);
      return 'it is resolved';
    },
  };
}

export function deleteKeyAction(activity: string, key: string): Action {
  return {
    title: `Forget the key ${key} of ${activity}`,
    button: 'Forget the key',
    role: 'admin',
    danger: true,
    says: () => ({ says: ['The stored result of 1 key is deleted: the next call with it runs the activity again.'] }),
    command: (_values, why) => line('keys delete', [activity, key], { why }),
    act: async (_values, why) => {
      await send('DELETE', at('activities', activity, 'keys', key), { why });
      return 'it is forgotten';
    },
  };
}
