/**
 * The gates of a node: one for each tracker that has a gate, and shifts here. Owned by the node (`node.ts`), which
 * tells it of shifts that come and go, and has it look several times a second; `gate.ts` is one of them.
 */
import type { Logger } from 'pino';
import type { ErrorContext, TrackerDefinition } from '../../../config/define/tracker';
import type { Database } from '../../lib/database';
import type { TrackerRow } from '../store/trackers';
import type { Clock } from './clock';
import { GateKeeper } from './gate';
import type { PoolShift } from './pool-shift';

export interface GatesHost {
  readonly row: { readonly name: string };
  readonly clock: Clock;
  readonly log: Logger;
  /** All that are here. */
  readonly shifts: ReadonlySet<PoolShift>;
  readonly trackers: ReadonlyMap<string, TrackerRow>;
  report(error: Error, context: ErrorContext, definition: TrackerDefinition): void;
}

export class NodeGates {
  /** By tracker. */
  private readonly gates = new Map<string, GateKeeper>();

  constructor(
    private readonly database: Database,
    private readonly host: GatesHost,
  ) {}

  /** A shift is here: it goes by its tracker's gate from now on. */
  joined(shift: PoolShift, definition: TrackerDefinition): void {
    if (!definition.gate) return;
    let gate = this.gates.get(definition.name);
    if (!gate) this.gates.set(definition.name, (gate = this.open(definition)));
    shift.knowGateUntil(gate.knownUntil);
  }

  /** A shift has left the node. */
  left({ trackerName }: PoolShift): void {
    if (this.gates.has(trackerName) && this.shiftsOf(trackerName).length === 0) this.gates.delete(trackerName);
  }

  tick(nowMs: number): void {
    for (const [tracker, gate] of this.gates) gate.tick(nowMs, this.host.trackers.get(tracker)?.options.gate ?? null);
  }

  private open(definition: TrackerDefinition): GateKeeper {
    const { host, database } = this;
    const { name: tracker } = definition;
    return new GateKeeper(tracker, definition.gate!, {
      clock: host.clock,
      database,
      shifts: () => this.shiftsOf(tracker),
      onError: (error) => host.report(error, { tracker, node: host.row.name }, definition),
      log: host.log.child({ tracker }),
    });
  }

  private shiftsOf(tracker: string): PoolShift[] {
    return [...this.host.shifts].filter(({ trackerName }) => trackerName === tracker);
  }
}
