/**
 * The default export of a config module: `defineConfig`, with all that it may list. Resolved by
 * `config/resolve/config.ts`.
 */
import type { DataConverter } from '@temporalio/common';
import type { AnyActivity } from './activity';
import type { DecayDefinition, RegenDefinition, SweepDefinition } from './job';
import type { AnyBuffer, BufferDefinition } from './buffer';
import type { LifeDefinition, ReceiveOptions } from './member';
import type { OperationDefinition, GateDefinition, TrackerDefinition } from './tracker';
import type { DefinedUpstream } from './upstream';

/** Merged under each definition; `operation` under each operation of each tracker. */
export interface Defaults {
  /** Options of every tracker. */
  tracker?: Partial<Omit<TrackerDefinition, 'name' | 'operations' | 'gate' | 'life' | keyof LifeDefinition>> & {
    receive?: ReceiveOptions;
  };
  /** Options of every gate. */
  gate?: Partial<Omit<GateDefinition, 'check' | 'upstream'>>;
  /** Options of every operation of every tracker. */
  operation?: Partial<Omit<OperationDefinition, 'run' | 'whenClosed' | 'version' | 'upstream' | 'apply' | 'while'>>;
  /** Options of every regen. */
  regen?: Partial<RegenDefinition>;
  /** Options of every sweep. */
  sweep?: Partial<Omit<SweepDefinition, 'handle' | 'upstream'>>;
  /** Options of every decay. */
  decay?: Partial<DecayDefinition>;
  /** Options of every buffer. */
  buffer?: Partial<Omit<BufferDefinition, 'name' | 'run' | 'init' | 'key' | 'state' | 'upstream'>>;
}

export interface ConfigDefinition {
  /** A list of `defineTracker`. */
  trackers?: TrackerDefinition[];
  /** Jobs on whole tables of PostgreSQL: lists of `defineRegen`, `defineSweep` and `defineDecay`. */
  regens?: readonly RegenDefinition[];
  /** A list of `defineSweep`. */
  sweeps?: readonly SweepDefinition[];
  /** A list of `defineDecay`. */
  decays?: readonly DecayDefinition[];
  /** A list of `defineBuffer`. */
  buffers?: readonly AnyBuffer[];
  /** Durable activities: a list of `defineActivity`, or the module that exports them. */
  activities?: readonly AnyActivity[] | Readonly<Record<string, unknown>>;
  /**
   * A list of `defineUpstream`: those that nothing else of the config names, such as the ones that your workflows'
   * activities ask by a client of their own.
   */
  upstreams?: readonly DefinedUpstream[];
  /**
   * The module with your own workflows, relative to the config. The worker bundles them with Longwatch's and runs both.
   */
  workflows?: string;
  /**
   * How payloads are written to Temporal, with codecs for all that it keeps (the SDK's `DataConverter`). Every worker
   * and client of a namespace needs the same.
   */
  dataConverter?: DataConverter;
  /** Options that count if a definition does not say otherwise. */
  defaults?: Defaults;
}

/** The default export of `longwatch.config.ts`. */
export function defineConfig(config: ConfigDefinition): ConfigDefinition {
  return config;
}
