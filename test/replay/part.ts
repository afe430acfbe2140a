/** What `record.ts` records: one part a kind of workflow, each with a stack of its own. */
import type { Client } from '@temporalio/client';
import type { ConfigDefinition } from '../../client';
import type { Stack } from '../support/stack';

export interface Part {
  config: ConfigDefinition;
  /** How the ids of its workflows begin. */
  prefixes: readonly string[];
  /** All that can be said to its workflows, and what can befall them. Ends when they have ended. */
  live(stack: Stack, temporal: Client): Promise<void>;
}
