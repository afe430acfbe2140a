/**
 * All that one program sends to one buffer: a sender for each shard and way (`shard-sender.ts`), whether there is room,
 * by what the shards have reported, and which shard takes what another one has refused. Used by `push.ts`.
 */
import type { BufferRunState } from '../../workflows/buffer/contract';
import type { BufferOptions } from '../../workflows/buffer/options';
import type { Connections } from '../connections';
import { BufferFullError, BufferStoppedError, DatabaseUnavailableError } from '../errors';
import type { Parcel } from './parcels';
import { ShardSender, type PushWay, type SenderWays } from './shard-sender';
import { BUFFER, BUFFER_PRESSURE } from './queries';
import { sleep } from '../../activities/lib/sleep';

/** How long what the shards have reported is believed, and before it is looked at again. Milliseconds. */
const PRESSURE_MS = 250;
/** Shards that a refused parcel is offered to before it is said again to its own. */
const OFFERS = 3;

/** The reports that senders go by; one row without a shard if none has reported. */
interface Pressure {
  [column: string]: unknown;
  state: BufferRunState;
  shard: number | null;
  moment: number;
  spilling: boolean;
  bytes: number;
  pending: number | null;
}

export class BufferSenders {
  private readonly senders = new Map<string, ShardSender>();
  private pressure: { at: number; pending?: number } = { at: 0 };
  private shards = 1;
  private offered = 0;

  constructor(
    private readonly connections: Connections,
    private readonly buffer: string,
  ) {}

  /**
   * Resolves when the shard has it, durably; one that has no room gives what has no key to another one.
   * @param deadline epoch milliseconds. @param shards those that may take it
   */
  send(shard: number, how: PushWay, parcel: Parcel, deadline: number, shards: number): Promise<void> {
    this.shards = shards;
    return this.sender(shard, how).send(parcel, deadline);
  }

  /**
   * Re-reads the shards' reports at most every 250 ms. If a shard is past its bound, this client stores entries itself;
   * if the buffer is at capacity, it waits.
   * @returns false where PostgreSQL does not say: the shards themselves must be asked, or they would take in more than
   *   they can keep.
   * @throws BufferFullError where there is none in time; BufferStoppedError.
   */
  async room(options: BufferOptions, timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (Date.now() - this.pressure.at >= PRESSURE_MS) this.pressure = await this.readPressure(options);
      const { pending } = this.pressure;
      if (pending === undefined) return false;
      if (pending < options.capacity) return true;
      if (Date.now() > deadline) throw new BufferFullError(this.buffer);
      await sleep(PRESSURE_MS);
    }
  }

  /** @throws what the shard throws that does not say whether it has it */
  private async elsewhere(full: number, parcel: Parcel, deadline: number): Promise<boolean> {
    const others = Array.from({ length: this.shards }, (_, shard) => shard).filter((shard) => shard !== full);
    for (let offer = 0; offer < Math.min(OFFERS, others.length); offer++) {
      const shard = others[this.offered++ % others.length]!;
      try {
        await this.sender(shard, 'offer').send(parcel, deadline);
        return true;
      } catch (error) {
        if (!(error instanceof BufferFullError)) throw error;
      }
    }
    return false;
  }

  /** @param how `offer`: an update that is said once */
  private sender(shard: number, how: PushWay | 'offer'): ShardSender {
    const id = `${how}/${shard}`;
    let sender = this.senders.get(id);
    if (!sender) {
      const isStopped = async (): Promise<boolean> => {
        const [row] = await this.connections.rows<{ state: BufferRunState }>(BUFFER, [this.buffer]);
        return row?.state === 'stopped';
      };
      const ways: SenderWays =
        how === 'offer' ? { once: true } : { elsewhere: (...of) => this.elsewhere(shard, ...of) };
      const by = how === 'offer' ? 'update' : how;
      this.senders.set(id, (sender = new ShardSender(this.connections, this.buffer, shard, by, isStopped, ways)));
    }
    return sender;
  }

  private async readPressure({ bound }: BufferOptions): Promise<{ at: number; pending?: number }> {
    try {
      const reports = await this.connections.rows<Pressure>(BUFFER_PRESSURE, [this.buffer]);
      if (reports[0]?.state === 'stopped') throw new BufferStoppedError(this.buffer);
      for (const { shard, moment, spilling, bytes } of reports) {
        if (shard !== null) this.sender(shard, 'signal').hear(moment, spilling ? 0 : bound.bytes - bytes);
      }
      return { at: Date.now(), pending: reports.reduce((sum, report) => sum + (report.pending ?? 0), 0) };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError)) throw error;
      return { at: Date.now() };
    }
  }
}
