/** The node, as `placing.ts` needs it; `presence.ts` is one. */
import type { Logger } from 'pino';
import type { Incarnation, NodeRow } from '../store/nodes';
import type { Clock } from './clock';
import type { Figures, PlacingEvent } from './figures';
import type { KnownStates } from '../member/loading';

export interface PlacingHost {
  readonly row: NodeRow;
  readonly clock: Pick<Clock, 'now' | 'fromStore'>;
  readonly log: Logger;
  readonly definitions: ReadonlyMap<string, unknown>;
  readonly incarnation: Incarnation | undefined;
  /** The states of members, as far as its code knows them. */
  readonly states: KnownStates;
  readonly figures: Figures;
  /** Something happened to a pool that counters count. */
  placed(what: PlacingEvent, tracker: string): void;
  /** The answer of `opening` may have changed. */
  reopened(): void;
}
