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
import type { Shortage, Spender, Use } from '../budget/spender';
import { spendingAs } from '../spending';
import { inLine } from './in-line';
import { RunSpending } from './run';

/**
 * It stands in the bucket's line for so long, then it is put off; no longer than half of what its caller waits for it,
 * for a wait is not a failure. Milliseconds.
 */
const IN_LINE_MS: Readonly<Record<Class, number>> = { call: 5_000, watch: 2_000, bulk: 2_000 };

/** The same config, with code that takes its tokens first wherever it names an upstream with limits. */
export function budgetedConfig(config: ResolvedConfig, spender: Spender): ResolvedConfig {
  const names = new Set((config.upstreams ?? []).filter(({ limits }) => Object.keys(limits).length > 0).map(nameOf));
  if (names.size === 0) return config;
  const wrap = <A extends unknown[], R>(
    upstream: unknown,
    use: Use,
    { timeoutMs }: { timeoutMs: number },
    code: (...args: A) => R,
  ): ((...args: A) => R | Promise<Awaited<R>>) => {
    const name = typeof upstream === 'string' ? upstream : definitionOf(upstream)?.name;
    if (name === undefined || !names.has(name)) return code;
    const inLineMs = timeoutMs > 0 ? Math.min(IN_LINE_MS[use.class], timeoutMs / 2) : IN_LINE_MS[use.class];
    return (...args) => {
      const context = contextIn(args);
      const begin = (): R => {
        waiting.delete(context);
        return code(...args);
      };
      waiting.add(context);
      return spendingFor(spender, name, use, begin, { inLineMs, signal: context.signal });
    };
  };
  return {
    ...config,
    buffers: config.buffers.map((buffer) => {
      const { run, upstream } = buffer.definition;
      const use: Use = { class: 'bulk', by: `buffer/${buffer.name}` };
      return { ...buffer, definition: { ...buffer.definition, run: wrap(upstream, use, buffer.options, run) } };
    }),
    jobs: config.jobs.map((job) => {
      if (!job.handle) return job;
      const use: Use = { class: 'bulk', by: `sweep/${job.name}` };
      return { ...job, handle: wrap(job.upstream, use, job.options, job.handle) };
    }),
    activities: config.activities.map((activity): ResolvedActivity => {
      const { run, upstream } = activity.definition;
      const { compensation } = activity;
      const by = `activity/${activity.name}`;
      const wrapped = wrap(upstream, { class: 'call', by }, activity.options, run);
      return {
        ...activity,
        definition: { ...activity.definition, run: wrapped },
        compensation: compensation && {
          ...compensation,
          run: wrap(upstream, { class: 'call', by: `${by}/compensate` }, compensation.options, compensation.run),
        },
      };
    }),
    trackers: config.trackers.map((tracker) => {
      const { gate } = tracker.definition;
      const { gate: options } = tracker.options;
      if (!gate || !options) return tracker;
      const use: Use = { class: 'call', by: `${tracker.name}/gate` };
      const check = wrap(gate.upstream, use, options, gate.check);
      return { ...tracker, definition: { ...tracker.definition, gate: { ...gate, check } } };
    }),
  };
}

const nameOf = ({ name }: { name: string }): string => name;

interface CallerOfCode {
  inLineMs: number;
  signal: AbortSignal | undefined;
}

/** The context is what such code is called with last; it ends by its signal. */
function contextIn(args: readonly unknown[]): { signal?: AbortSignal } {
  return args.at(-1) ?? {};
}

/** Contexts of code that has not begun. */
const waiting = new WeakSet<object>();

/** Whether the code that was called with this context waits for its tokens: nothing of it has happened. */
export function waitsForTokens(context: object): boolean {
  return waiting.has(context);
}

/**
 * @param caller how long it lets the code wait in a line; and its signal: once that has fired the code does not begin,
 *   for it may be tried elsewhere by then
 * @throws OutOfTokens where there is nothing in a moment, before the code has begun, or within it
 */
export async function spendingFor<T>(
  spender: Spender,
  upstream: string,
  use: Use,
  code: () => T,
  caller: CallerOfCode = { inLineMs: IN_LINE_MS[use.class], signal: undefined },
): Promise<Awaited<T>> {
  const { signal } = caller;
  signal?.throwIfAborted();
  const spending = await take(spender, upstream, use, caller);
  try {
    signal?.throwIfAborted();
    return await spendingAs(spending, code);
  } finally {
    spending.end();
  }
}

function take(spender: Spender, upstream: string, use: Use, caller: CallerOfCode): RunSpending | Promise<RunSpending> {
  const spending = new RunSpending(spender, use);
  const shortage = spending.reserve(upstream);
  if (shortage === undefined) return spending;
  const again = (): Shortage | undefined => spending.reserve(upstream);
  return inLine(shortage, again, { class: use.class, ...caller, when: 'before' }).then(() => spending);
}
