/**
 * The code of a tracker's members, as turns need it: made once a tracker from its definition. Used by `run.ts`, which
 * calls it, and by `pool.ts`, for the states that it can read.
 */
import type { Apply, Handler, LifeDefinition } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { handlerOf } from '../../../config/resolve/member';
import type { Json } from '../../../workflows/lib/json';
import { errorOf } from '../../lib/failures';
import { readState, type StateCode, type StateVersions } from '../member/loading';
import type { Brought } from '../member/types';

export interface LifeCode {
  readonly tracker: string;
  readonly definition: TrackerDefinition;
  readonly handle: Handler;
  /** Each message has a transaction of its own, open while its handler runs. */
  readonly transaction: boolean;
  readonly load: LifeDefinition['load'];
  readonly unload: LifeDefinition['unload'];
  readonly states: StateCode;
  readonly versions: StateVersions;
  /** Operations whose values go to `apply`. */
  readonly applies: readonly string[];
  applyOf(operation: string): Apply | undefined;
  /** The value as the operation's code has returned it. @throws where its codec is another one here, or fails */
  inClear(brought: Brought, id: string, stored: unknown): unknown;
}

/** Undefined: its members take no messages. */
export function lifeCodeOf(definition: TrackerDefinition): LifeCode | undefined {
  const { name: tracker, receive, load, unload, operations } = definition;
  if (receive === undefined) return undefined;
  const versions = versionsOf(definition);
  return {
    tracker,
    definition,
    ...handlerOf(receive),
    load,
    unload,
    versions,
    states: statesOf(definition, versions),
    applies: Object.keys(operations).filter((name) => operations[name]!.apply !== undefined),
    applyOf: (operation) => operations[operation]?.apply,
    inClear: (brought, id, stored) => inClear(definition, brought, id, stored as Json),
  };
}

function inClear({ name, operations }: TrackerDefinition, { operation, codec: by }: Brought, id: string, stored: Json) {
  if (by === undefined) return stored;
  const what = `${operation} of ${id} in ${name}`;
  const codec = operations[operation]?.codec;
  if (codec?.name !== by) throw new Error(`${what} is encoded by codec '${by}', which this worker does not have`);
  try {
    return codec.decode(stored);
  } catch (thrown) {
    const error = errorOf(thrown);
    throw new Error(`codec '${by}' could not decode ${what}: ${error.message}`, { cause: error });
  }
}

function versionsOf({ state }: TrackerDefinition): StateVersions {
  return { version: state?.version ?? 1, migrate: state?.migrate ?? {}, down: state?.down ?? {} };
}

function statesOf({ state }: TrackerDefinition, versions: StateVersions): StateCode {
  const initial: unknown = state?.initial;
  return {
    version: versions.version,
    // A value is copied: a handler may change its own.
    initial: (id) =>
      typeof initial === 'function' ? (initial as (id: string) => unknown)(id) : structuredClone(initial),
    read: (stored, version) => readState(stored, version, versions),
  };
}
