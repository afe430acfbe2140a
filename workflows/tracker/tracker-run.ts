/**
 * The things that the parts of a tracker's root workflow share: the tracker's row as the database told it last, whether
 * a pool has outgrown its size, and how both are shown to a person. Made by `tracker.ts`; `tracker-commands.ts` uses
 * it.
 */
import { proxyActivities, setCurrentDetails, upsertSearchAttributes, uuid4 } from '@temporalio/workflow';
import { RETRY } from '../lib/retry';
import type { TrackerActivities, TrackerInput, TrackerOpening, TrackerStatus } from './contract';
import { TRACKER_TUNABLES } from './tunables';

const { openTracker } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: TRACKER_TUNABLES.commandMs,
  heartbeatTimeout: TRACKER_TUNABLES.commandHeartbeatMs,
  retry: RETRY,
});

export class TrackerRun {
  readonly name: string;
  /** The runs of this workflow before this one: continue-as-new counts them. */
  readonly runsBefore: number;
  /** The tracker's row. Undefined before the opening. */
  opened: TrackerOpening | undefined;
  /** A pool has said that it holds more members than it should. */
  outgrown = false;

  constructor(private readonly input: TrackerInput) {
    this.name = input.tracker;
    this.runsBefore = input.runs ?? 0;
  }

  /** Reads the row, and takes the tracker: the commands of another run are refused from here. */
  async open(): Promise<TrackerOpening> {
    this.opened = await openTracker({ tracker: this.name, options: this.input.options, command: uuid4() });
    this.describe(this.opened);
    return this.opened;
  }

  /** Another run had taken the tracker: it is taken back, and its row read anew. */
  async takeBack(opened: TrackerOpening): Promise<void> {
    Object.assign(opened, await openTracker({ tracker: this.name, command: uuid4() }));
  }

  /** Reads the row again: its options may have changed. */
  async reload(opened: TrackerOpening): Promise<void> {
    Object.assign(opened, await openTracker({ tracker: this.name }));
    this.describe(opened);
  }

  status(): TrackerStatus {
    if (!this.opened) throw new Error(`tracker ${this.name} is opening`);
    const { state, pools, members, options } = this.opened;
    return { tracker: this.name, state, pools, members, options };
  }

  /** Shows the tracker in the Temporal UI. */
  describe({ state, pools, members, options }: TrackerOpening): void {
    upsertSearchAttributes({ LongwatchTracker: [this.name], LongwatchMembers: [members] });
    const operations = Object.entries(options.operations)
      .map(([operation, { everyMs, enabled }]) => `${operation} ${enabled ? `every ${everyMs / 1000} s` : 'off'}`)
      .join(', ');
    setCurrentDetails(`**${this.name}**: ${state}, ${pools} pools\n\n${operations}`);
  }
}
