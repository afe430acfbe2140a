/**
 * The operations of one pool while a shift keeps it: a loop for each that the tracker has and this worker's config
 * knows. Kept by `pool-shift.ts`, which says what the tracker's row says and who joins and leaves; the node's ring
 * runs the loops.
 */
import type { Logger } from 'pino';
import type { OperationDefinition, TrackerDefinition } from '../../../config/define/tracker';
import type { OperationOptions } from '../../../workflows/tracker/options';
import type { FreshnessRow } from '../store/members';
import type { TrackerRow } from '../store/trackers';
import { admit, type Admitted } from './admit';
import type { OperationHost, OperationShift } from './host';
import type { Lateness } from './lateness';
import { OperationLoop } from './operation';
import type { StoredTimes } from './stored-times';

export interface PoolOperationsSetup {
  definition: TrackerDefinition;
  host: OperationHost;
  log: Logger;
  latenessOf: (tracker: string, operation: string) => Lateness;
}

export class PoolOperations {
  readonly loops = new Map<string, OperationLoop>();
  /** Operations that this worker's config does not have; each is told of once. */
  private readonly unknown = new Set<string>();

  constructor(
    private readonly setup: PoolOperationsSetup,
    private readonly shift: OperationShift,
    private readonly times: StoredTimes,
  ) {}

  /** Operations of the row that do not run here yet and would. */
  beginningWith({ state, options }: TrackerRow): string[] {
    if (state === 'stopped' || this.shift.members.size === 0) return [];
    const { definition } = this.setup;
    return Object.keys(options.operations).filter((name) => definition.operations[name] && !this.loops.has(name));
  }

  /**
   * The tracker's options of now.
   * @param freshness what is stored of operations that begin with it, where they were declared before
   */
  follow(tracker: TrackerRow, freshness: readonly FreshnessRow[], now: number): void {
    const { operations } = tracker.options;
    for (const [name, options] of Object.entries(operations)) {
      this.loops.get(name)?.reconfigure(options, this.times.beganAt(tracker, name), now);
    }
    // One that the definition has no more: what runs ends and is written, nothing is started, and the next shift does
    // not know it.
    for (const [name, loop] of this.loops) {
      if (!Object.hasOwn(operations, name)) loop.reconfigure({ ...loop.options, enabled: false }, undefined, now);
    }
    this.begin(tracker, freshness, now);
  }

  /** Makes the loops of operations that have none yet, for all members that are there. */
  begin(tracker: TrackerRow, freshness: readonly FreshnessRow[], now: number): void {
    const known = this.times.byMember(freshness);
    for (const [name, options] of Object.entries(tracker.options.operations)) {
      const code = this.setup.definition.operations[name];
      if (!code) this.tellUnknown(name);
      if (!code || this.loops.has(name)) continue;
      const loop = this.make(tracker, name, code, options, now);
      this.loops.set(name, loop);
      admit(loop, this.shift.members, this.joiningAll(known), now);
    }
  }

  admit(joining: readonly Admitted[], now: number): void {
    for (const loop of this.loops.values()) admit(loop, this.shift.members, joining, now);
  }

  leave(slot: number): void {
    for (const loop of this.loops.values()) loop.leave(slot);
  }

  private make(
    tracker: TrackerRow,
    name: string,
    definition: OperationDefinition,
    options: OperationOptions,
    now: number,
  ): OperationLoop {
    const { host, log, latenessOf } = this.setup;
    const { claim, members } = this.shift;
    return new OperationLoop({
      shift: this.shift,
      name,
      definition,
      options,
      host,
      log: log.child({ operation: name }),
      lateness: latenessOf(claim.tracker, name),
      // A row of before there was such a note: a shift that runs learns of the operation right now.
      beganAt: this.times.beganAt(tracker, name) ?? (members.size > 0 ? now : undefined),
    });
  }

  private joiningAll(known: ReadonlyMap<number, FreshnessRow[]>): Admitted[] {
    const { members } = this.shift;
    const joining: Admitted[] = [];
    members.forEach((slot) => {
      const addedAt = this.setup.host.clock.fromStore(members.addedAt(slot));
      joining.push({ slot, addedAt, freshness: known.get(members.key(slot)) ?? [] });
    });
    return joining;
  }

  private tellUnknown(name: string): void {
    if (this.unknown.has(name)) return;
    this.unknown.add(name);
    this.setup.log.warn({ operation: name }, `this worker's config has no operation ${name}; it does not run here`);
  }
}
