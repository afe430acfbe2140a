/**
 * Runs the code of one turn: the member's `load` where it was just read, then its handler, within the time that it
 * has. Called by `turner.ts`, which ends the turn by what comes of it.
 */
import type { Queryable } from '../../lib/database';
import type { Turn } from '../member/turn';
import { contextOf, type Pushable } from './context';
import type { PoolTurns } from './pool';
import type { Unloads } from './unloads';

export interface RunHost {
  readonly buffers: Pushable | undefined;
  readonly unloads: Pick<Unloads, 'over'>;
  /** Notes whose code is about to run, for the watchdog. */
  entering(code: { readonly tracker: string; readonly name: string }): void;
}

const RECEIVE = 'receive';

/**
 * @param db the turn's own transaction, where it has one
 * @returns when the code has ended well. @throws what it threw, or that its time is over; ShiftOver
 */
export async function runCode(host: RunHost, pool: PoolTurns, turn: Turn, db?: Queryable): Promise<void> {
  const { id } = turn.member;
  turn.hasBegun = true;
  let controller: AbortController | undefined;
  let reason: Error | undefined;
  let giveUp!: (reason: Error) => void;
  const given = new Promise<never>((_, reject) => (giveUp = reject));
  // A turn that is given up after its code has ended is nobody's failure.
  given.catch(() => undefined);
  const abort = (why: Error): void => {
    reason ??= why;
    controller?.abort(reason);
    giveUp(reason);
  };
  const signal = (): AbortSignal => {
    controller ??= new AbortController();
    if (reason && !controller.signal.aborted) controller.abort(reason);
    return controller.signal;
  };
  const run = { id, abort };
  pool.running.add(run);
  const { timeoutMs } = pool.options;
  const timer = setTimeout(() => abort(new Error(`its time is over: it has ${timeoutMs} ms`)), timeoutMs);
  try {
    await Promise.race([call(host, pool, turn, { signal, db }), given]);
  } finally {
    clearTimeout(timer);
    pool.running.delete(run);
  }
}

async function call(
  host: RunHost,
  pool: PoolTurns,
  turn: Turn,
  { signal, db }: { signal: () => AbortSignal; db: Queryable | undefined },
): Promise<void> {
  const { code, shift } = pool;
  const { what } = turn.entry;
  const context = contextOf(turn, { log: shift.log, signal, buffers: host.buffers, db });
  const member = pool.members.member(turn.member.id);
  if (code.load && member?.hooked === false) {
    await host.unloads.over(code.tracker, turn.member.id);
    // It was given up meanwhile.
    if (turn.isOver) return;
    // Whatever comes of it: what it has made is for `unload`.
    member.wasHooked = true;
    host.entering({ tracker: code.tracker, name: 'load' });
    await code.load(context);
  }
  if (what.kind === 'apply') {
    const { operation } = what.brought;
    host.entering({ tracker: code.tracker, name: operation });
    // Not there any more where the definition has another shape by now: the value has nowhere to go.
    const apply = code.applyOf(operation);
    await apply?.(code.inClear(what.brought, turn.member.id, turn.message) as never, context);
    return;
  }
  host.entering({ tracker: code.tracker, name: RECEIVE });
  await code.handle(turn.message, context);
}
