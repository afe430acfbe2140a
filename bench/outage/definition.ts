/**
 * The two buffers of the scenario `outage`: for the worker that runs them, the scenario that starts them and its
 * senders.
 */
import { defineBuffer, resolveConfig } from '../../exports';

export type Entry = {
  n: number;
  /** The key of the keyed buffer: one entry each, so that none is merged and every one can be counted. */
  id: string;
  pad: string;
};

export const SHARDS = 2;

let handled: (buffer: string, entries: readonly Entry[]) => void = () => undefined;

export function onHandled(then: typeof handled): void {
  handled = then;
}

/** Stays in memory, with default options: it needs no PostgreSQL. */
const unkeyed = defineBuffer({
  name: 'unkeyed',
  shards: SHARDS,
  run: (entries: Entry[]) => handled('unkeyed', entries),
});

/**
 * Always past its bound, so that its entries lie in PostgreSQL and keys are looked up there: nothing runs without it.
 */
const keyed = defineBuffer({
  name: 'keyed',
  key: 'id',
  shards: SHARDS,
  bound: { bytes: 10_000 },
  run: (entries: Entry[]) => handled('keyed', entries),
});

export const outaged = resolveConfig({ buffers: [unkeyed, keyed] });
export const NAMES = ['unkeyed', 'keyed'] as const;
export type Name = (typeof NAMES)[number];
