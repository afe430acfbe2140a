/**
 * Code of a user that is not a member's run: batches of buffers, pages of sweeps, durable activities, checks of gates.
 * It takes what it usually needs before it begins, in the order of the classes; where that is not there in a moment,
 * it is put off until the bucket's time, as by an upstream that asks to wait. `budgetedConfig` wraps the code of a
 * whole config; called by `workers/parts.ts`.
 */
import { definitionOf } from '../../../config/define/upstream';
import type { ResolvedActivity } from '../../../config/define/activity';
import type { ResolvedConfig } from '../../../config/resolve/config';
import type { Class } from '../budget/classes';
import type { Shortage, Spender, Use, Waiter } from '../budget/spender';
import { errorOf } from '../../lib/failures';
import { spendingAs } from '../spending';
import { RunSpending } from './run';
import { OutOfTokens } from './shortage';

/** It stands in the bucket's line for so long, then it is put off. Milliseconds. */
const IN_LINE_MS: Readonly<Record<Class, number>> = { call: 5_000, watch: 2_000, bulk: 2_000 };

/** The same config, with code that takes its tokens first wherever it names an upstream with limits. */
export function budgetedConfig(config: ResolvedConfig, spender: Spender): ResolvedConfig {
  const names = new Set((config.upstreams ?? []).filter(({ limits }) => Object.keys(limits).length > 0).map(nameOf));
  if (names.size === 0) return config;
  const wrap = <A extends unknown[], R>(
    upstream: unknown,
    use: Use,
    code: (...args: A) => R,
  ): ((...args: A) => R | Promise<Awaited<R>>) => {
    const name = typeof upstream === 'string' ? upstream : definitionOf(upstream)?.name;
    if (name === undefined || !names.has(name)) return code;
    return (...args) => spendingFor(spender, name, use, () => code(...args));
  };
  return {
    ...config,
    buffers: config.buffers.map((buffer) => {
      const { run, upstream } = buffer.definition;
      const use: Use = { class: 'bulk', by: `buffer/${buffer.name}` };
      return { ...buffer, definition: { ...buffer.definition, run: wrap(upstream, use, run) } };
    }),
    jobs: config.jobs.map((job) => {
      if (!job.handle) return job;
      const use: Use = { class: 'bulk', by: `sweep/${job.name}` };
      return { ...job, handle: wrap(job.upstream, use, job.handle) };
    }),
    activities: config.activities.map((activity): ResolvedActivity => {
      const { run, upstream } = activity.definition;
      const use: Use = { class: 'call', by: `activity/${activity.name}` };
      return { ...activity, definition: { ...activity.definition, run: wrap(upstream, use, run) } };
    }),
    trackers: config.trackers.map((tracker) => {
      const { gate } = tracker.definition;
      if (!gate) return tracker;
      const use: Use = { class: 'call', by: `${tracker.name}/gate` };
      const check = wrap(gate.upstream, use, gate.check);
      return { ...tracker, definition: { ...tracker.definition, gate: { ...gate, check } } };
    }),
  };
}

const nameOf = ({ name }: { name: string }): string => name;

/** @throws OutOfTokens where there is nothing in a moment, before the code has begun, or within it */
export async function spendingFor<T>(spender: Spender, upstream: string, use: Use, code: () => T): Promise<Awaited<T>> {
  const spending = await take(spender, upstream, use);
  try {
    return await spendingAs(spending, code);
  } finally {
    spending.end();
  }
}

function take(spender: Spender, upstream: string, use: Use): RunSpending | Promise<RunSpending> {
  const spending = new RunSpending(spender, use);
  const shortage = spending.reserve(upstream);
  if (shortage === undefined) return spending;
  if (Number.isFinite(shortage.waitMs) && shortage.waitMs > IN_LINE_MS[use.class])
    throw new OutOfTokens(shortage, 'before');
  return waited(spending, upstream, shortage);
}

function waited(spending: RunSpending, upstream: string, shortage: Shortage): Promise<RunSpending> {
  return new Promise((resolve, reject) => {
    let last = shortage;
    let leave: () => void = () => undefined;
    const waiter: Waiter = {
      class: spending.use.class,
      requests: 1,
      wake: () => {
        try {
          const still = spending.reserve(upstream);
          if (still) {
            last = still;
            leave = still.join(waiter);
            return;
          }
          resolve(spending);
        } catch (thrown) {
          reject(errorOf(thrown));
        }
        clearTimeout(timer);
      },
    };
    const timer = setTimeout(() => {
      leave();
      reject(new OutOfTokens(last, 'before'));
    }, IN_LINE_MS[spending.use.class]);
    leave = shortage.join(waiter);
  });
}
