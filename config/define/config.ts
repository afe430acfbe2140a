/**
 * The default export of a config module: `defineConfig`, with all that it may list. Resolved by
 * `config/resolve/config.ts`.
 */
import type { DataConverter } from '@temporalio/common';
import type { AnyActivity } from './activity';
import type { DecayDefinition, RegenDefinition, SweepDefinition } from './job';
import type { AnyBuffer, BufferDefinition } from './buffer';
import type { OperationDefinition, GateDefinition, TrackerDefinition } from './tracker';

/** Merged under each definition; `operation` under each operation of each tracker. */
export interface Defaults {
  tracker?: Partial<Omit<TrackerDefinition, 'name' | 'operations' | 'gate'>>;
  gate?: Partial<Omit<GateDefinition, 'check'>>;
  operation?: Partial<Omit<OperationDefinition, 'run' | 'whenClosed' | 'version'>>;
  regen?: Partial<RegenDefinition>;
  sweep?: Partial<Omit<SweepDefinition, 'handle'>>;
  decay?: Partial<DecayDefinition>;
  buffer?: Partial<Omit<BufferDefinition, 'name' | 'run' | 'init' | 'key' | 'state'>>;
}

export interface ConfigDefinition {
  trackers?: TrackerDefinition[];
  /** Jobs on whole populations in PostgreSQL: lists of `defineRegen`, `defineSweep` and `defineDecay`. */
  regens?: readonly RegenDefinition[];
  sweeps?: readonly SweepDefinition[];
  decays?: readonly DecayDefinition[];
  buffers?: readonly AnyBuffer[];
  /** Durable activities: a list of `defineActivity`, or the module that exports them. */
  activities?: readonly AnyActivity[] | Readonly<Record<string, unknown>>;
  /**
   * The module with your own workflows, relative to the config. The worker bundles them with Longwatch's and runs both.
   */
  workflows?: string;
  /**
   * How payloads are written to Temporal, with codecs for all that it keeps (the SDK's `DataConverter`). Every worker
   * and client of a namespace needs the same.
   */
  dataConverter?: DataConverter;
  defaults?: Defaults;
}

/** The default export of `longwatch.config.ts`. */
export function defineConfig(config: ConfigDefinition): ConfigDefinition {
  return config;
}
