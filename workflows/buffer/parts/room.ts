/**
 * The part of a shard that tells its parent (`buffer.ts`) how much of `init` it still has to do, so that the parent
 * reads the next page in time. Called by `shard.ts`; `plan.ts` says when.
 */
import { getExternalWorkflowHandle } from '@temporalio/workflow';
import { bufferWorkflowId, INIT_SENDER, roomSignal, type PushMessage } from '../contract';
import { countOf } from '../intake';
import { lastSeq } from '../marks';
import { awaitedOf, pendingOf, runningOf, waitingOf } from '../queue';
import type { Part } from './part';

export class Room {
  readonly moment: {
    tellingRoom: boolean;
    believed: number | null;
    morePages: boolean;
    lastRoomMs: number;
    restsSinceMs: number | null;
  };

  /** @param isNew the shard was started with nothing: the parent believes that nothing waits here. */
  constructor(
    private readonly part: Part,
    isNew: boolean,
  ) {
    const believed = isNew ? 0 : null;
    this.moment = { tellingRoom: false, believed, morePages: true, lastRoomMs: 0, restsSinceMs: null };
  }

  /**
   * Counts a message of `init`, even if it is a repeat: a restarted parent sends its last page again and counts it
   * again.
   */
  heard(message: PushMessage): void {
    if (message.sender !== INIT_SENDER) return;
    const { moment } = this;
    if (moment.believed !== null) moment.believed += countOf(message);
    moment.morePages = message.last !== true;
  }

  /** Notes since when nothing waits or runs. */
  rests(nowMs: number): void {
    this.moment.restsSinceMs = waitingOf(this.part.state) > 0 ? null : (this.moment.restsSinceMs ?? nowMs);
  }

  async tell(): Promise<void> {
    const { moment, part } = this;
    const { state, where } = part;
    moment.tellingRoom = true;
    moment.lastRoomMs = Date.now();
    const waiting = (moment.believed = awaitedOf(state, Date.now()));
    await getExternalWorkflowHandle(bufferWorkflowId(where.buffer))
      .signal(roomSignal, {
        shard: where.shard,
        waiting,
        putOff: Math.max(0, pendingOf(state) + runningOf(state) - waiting),
        seq: lastSeq(state, INIT_SENDER),
      })
      // The parent is gone; the next one starts from what it finds.
      .catch(() => undefined);
    moment.tellingRoom = false;
    part.wake();
  }
}
