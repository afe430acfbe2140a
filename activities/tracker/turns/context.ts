/**
 * The context of a handler: what its turn can do (`member/turn.ts`), with the log, the signal, and the checks that a
 * node can make and a turn cannot. Made by `run.ts` for each turn.
 */
import type { Logger } from 'pino';
import type { MemberContext } from '../../../config/define/member';
import type { Json } from '../../../workflows/lib/json';
import type { Queryable } from '../../lib/database';
import { TurnError, type Turn } from '../member/turn';

/** Buffers that a handler may push to. */
export interface Pushable {
  has(buffer: string): boolean;
  /** The user's code. */
  keyOf(buffer: string, entry: Json): string | null;
}

export interface Surroundings {
  readonly log: Logger;
  readonly signal: () => AbortSignal;
  readonly buffers: Pushable | undefined;
  /** The turn's own transaction; undefined: it has none. */
  readonly db?: Queryable | undefined;
}

/** The turn's context with all that belongs to a handler's. */
export function contextOf(turn: Turn, around: Surroundings): MemberContext {
  const { context } = turn;
  return Object.assign(new Accessors(turn, around), context, {
    push: (buffer: string, entry: unknown): void => {
      checkPush(buffer, entry, around.buffers);
      context.push(buffer, entry);
    },
    query: ((text: string, values?: unknown[]) => query(turn, around.db, text, values)) as MemberContext['query'],
  });
}

/**
 * The part of a context that is made, or changed, where it is asked for. A class, for an object with accessors of its
 * own stays in memory until a full collection, with its turn.
 */
class Accessors {
  readonly #turn: Turn;
  readonly #around: Surroundings;
  #log: Logger | undefined;

  constructor(turn: Turn, around: Surroundings) {
    this.#turn = turn;
    this.#around = around;
  }

  get state(): unknown {
    return this.#turn.context.state;
  }

  set state(value: unknown) {
    this.#turn.context.state = value;
  }

  get log(): Logger {
    return (this.#log ??= this.#around.log.child(wordsOf(this.#turn)));
  }

  get signal(): AbortSignal {
    return this.#around.signal();
  }
}

/** Each line of its log has these, beside tracker and pool. */
function wordsOf({ member, context: { trace } }: Turn): object {
  return {
    id: member.id,
    ...(trace?.requestId !== undefined && { requestId: trace.requestId }),
    ...(trace?.traceparent !== undefined && { traceparent: trace.traceparent }),
  };
}

/** An entry that no buffer takes would be everybody's failure, in the commit. */
function checkPush(buffer: string, entry: unknown, buffers: Pushable | undefined): void {
  if (!buffers?.has(buffer)) throw new TurnError(`there is no buffer '${buffer}' in the config of this node`);
  buffers.keyOf(buffer, (JSON.parse(JSON.stringify(entry ?? null)) ?? null) as Json);
}

function query(turn: Turn, db: Queryable | undefined, text: string, values: unknown[] = []) {
  if (!db) throw new TurnError('query is there where the definition says receive: { transaction: true }');
  if (turn.isOver) throw new TurnError(`the turn of ${turn.member.id} is over: await all that a handler does`);
  const found = db.query({ text, values });
  // A handler that does not await it would end the process by its error; the transaction fails by it all the same.
  found.catch(() => undefined);
  return found;
}
