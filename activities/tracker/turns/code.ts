/**
 * The code of a tracker's members, as turns need it: made once a tracker from its definition. Used by `run.ts`, which
 * calls it, and by `pool.ts`, for the states that it can read.
 */
import type { Apply, Handler, LifeDefinition } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { handlerOf } from '../../../config/resolve/member';
import { readState, type StateCode, type StateVersions } from '../member/loading';

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
  };
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
