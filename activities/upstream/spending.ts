/**
 * How a request finds those who keep its limits: the run that it is sent in, wherever its code has got to
 * (`AsyncLocalStorage`), else the worker as such. Asked by `http.ts` and `define.ts`; entered by the shift, by batches,
 * pages and durable activities around the code of a user; the worker's own is set when it starts.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** A request before it is sent, as far as limits go by it. */
export interface Wanted {
  method: string;
  /** With its query. */
  path: string;
  /** The member, or whatever else a limit has its buckets by; undefined: the run's own. */
  id: string | undefined;
  /** Once it has fired nobody wants the request any more: it stands in no line. */
  signal?: AbortSignal | undefined;
}

/** The answer to a request, as far as limits go by it. */
export interface Replied {
  status: number;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** All of them, for a thread that has to hand them on. */
  headers?(): Iterable<readonly [name: string, value: string]>;
  /** Read where a limit asks for it. */
  readonly body?: unknown;
  /** It was a refusal: not to be asked for so many milliseconds. */
  refusedForMs?: number;
}

/** The right to send one request. It is given back by exactly one of these; more do nothing. */
export interface Permit {
  /** Asked in the last moment before it leaves: the process may have been frozen since. If not: `release`. */
  readonly maySend: boolean;
  /** @returns true: a bucket took a refusal for its own, and holds whom it concerns */
  report(answer: Replied): boolean;
  /** The same of the refusal that was reported, where another thread has to say it; it never rejects. */
  readonly judged?: Promise<boolean> | undefined;
  /** It was never sent. */
  release(): void;
  /** It was sent, and no answer came. */
  lose(): void;
}

/** One run, batch, page or activity that spends, or the worker outside of them. */
export interface Spending {
  /**
   * @returns undefined: no limit is known for that upstream.
   * @throws HoldError where a limit has nothing left
   */
  permit(upstream: string, wanted: Wanted): Permit | undefined | Promise<Permit | undefined>;
}

/** Across copies of this package, for a config that is loaded from its source brings a second one. */
const KEY = Symbol.for('longwatch.spending');
interface Shared {
  readonly runs: AsyncLocalStorage<Spending>;
  worker: Spending | undefined;
}
const shared = ((globalThis as { [KEY]?: Shared })[KEY] ??= { runs: new AsyncLocalStorage(), worker: undefined });

/** Calls the code of a run; all that it asks, now and later, is that run's. */
export function spendingAs<T>(spending: Spending, code: () => T): T {
  return shared.runs.run(spending, code);
}

/** Sets who answers for requests outside of any run. */
export function setWorkerSpending(spending: Spending): void {
  shared.worker = spending;
}

/** Sets who answers where nobody does: a process may have another worker, whose config has limits. */
export function setDefaultSpending(spending: Spending): void {
  shared.worker ??= spending;
}

/** It answers no more, if it is the one who does: a process may have had two workers. */
export function unsetWorkerSpending(spending: Spending): void {
  if (shared.worker === spending) shared.worker = undefined;
}

/** The error of a request that nobody would count: sent all the same, it could be one too many. */
export function unlisted(upstream: string): TypeError {
  const how = '`upstream: …` at what asks it, or in the config’s `upstreams`';
  return new TypeError(
    `the upstream '${upstream}' has limits, and this worker's config does not name it: write ${how}`,
  );
}

/** The error of a request that would be counted beside what the member's own runs spend, and could be one too many. */
export function notOfItsRun(upstream: string, limit: string): TypeError {
  const how = `list '${upstream}' in the config's \`upstreams\`, and any code may`;
  return new TypeError(`only runs of a member itself spend from the limit '${upstream}/${limit}' for it: ${how}`);
}

/** Asks whoever is concerned. @throws HoldError where a limit has nothing left */
export function permitFor(upstream: string, wanted: Wanted): Permit | undefined | Promise<Permit | undefined> {
  return (shared.runs.getStore() ?? shared.worker)?.permit(upstream, wanted);
}
