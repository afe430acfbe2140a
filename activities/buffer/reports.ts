/**
 * The reports of shards (a sink, `workflows/buffer/shard.ts`), written for `status` and the metrics: the newest
 * of each shard, those of all shards in one statement. A report that is lost is followed by another: the last one, when
 * the shard rests, is an activity. Made by `workers/parts.ts`.
 */
import type { Logger } from 'pino';
import type { ShardReport } from '../../workflows/buffer/contract';
import { errorOf } from '../lib/failures';
import type { Service } from '../lib/service';

/** Between two writes. Milliseconds. */
const WRITE_MS = 500;
/**
 * From a report after a silence to its write: who starts a buffer waits for it, and the other shards come along.
 * Milliseconds.
 */
const GATHER_MS = 50;

export class ShardReports implements Service {
  private readonly newest = new Map<string, ShardReport>();
  private timer: NodeJS.Timeout | undefined;
  /** Epoch milliseconds: not before this, so that writes stay apart. */
  private notBefore = 0;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly write: (reports: readonly ShardReport[]) => Promise<void>,
    private readonly log: Logger,
  ) {}

  note(report: ShardReport): void {
    const { buffer, shard } = report.status;
    this.newest.set(`${buffer}/${shard}`, report);
    this.timer ??= setTimeout(() => void this.flush(), Math.max(GATHER_MS, this.notBefore - Date.now())).unref();
  }

  /** It writes once there is a report. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  /** Writes what is left; call it once no workflow runs here any more. */
  async stop(): Promise<void> {
    await this.flush();
  }

  private flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.notBefore = Date.now() + WRITE_MS;
    return (this.writing = this.writing.then(() => this.writeNewest()));
  }

  private async writeNewest(): Promise<void> {
    const reports = [...this.newest.values()];
    this.newest.clear();
    if (reports.length === 0) return;
    try {
      await this.write(reports);
    } catch (thrown) {
      this.log.debug({ err: errorOf(thrown) }, 'reports of shards were not written');
    }
  }
}
