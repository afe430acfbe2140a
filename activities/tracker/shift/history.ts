/**
 * The node's part in the history (`series/write.ts`): about once a minute the first node that comes writes it. It is
 * apart from the attendance that asks for it each second (`attendance.ts`): a history that is slow, or that somebody
 * has locked, keeps neither counters nor what else a node looks at waiting.
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import { isPassing } from '../../lib/sqlstate';
import { minuteOf, writeSeries } from '../../series/write';
import type { Clock } from './clock';
import { percentile } from './lateness';

/** Nobody may keep the history from the others: whoever freezes while it writes lets go of it. Milliseconds. */
const LIMITS = { statementTimeoutMs: 10_000, lockTimeoutMs: 500, idleTimeoutMs: 3_000 };
/** The same for a node that ends: what it does not write now, the next one that comes writes. */
const FINAL_LIMITS = { statementTimeoutMs: 1_000, lockTimeoutMs: 200, idleTimeoutMs: 3_000 };

export class HistoryWriter {
  private writing: Promise<void> | undefined;
  /** It is written up to this minute of the database, by whoever. */
  private minute = -Infinity;
  /** Kinds of which the log has that they cannot be written. */
  private readonly unwritten = new Set<string>();

  constructor(
    private readonly database: Database,
    private readonly host: { readonly clock: Clock; readonly log: Logger },
  ) {}

  /** Never rejects; one at a time. */
  look(): Promise<void> {
    return (this.writing ??= this.write(false).finally(() => (this.writing = undefined)));
  }

  /** The node ends, and may be the last one: what has been counted until now. Never rejects. */
  async end(): Promise<void> {
    await this.writing;
    await this.write(true);
  }

  private async write(final: boolean): Promise<void> {
    const { clock, log } = this.host;
    const now = clock.toStore(clock.now());
    if (minuteOf(now) === this.minute && !final) return;
    try {
      const options = { final, percentile, onError: (error: Error, kind: string) => this.untold(error, kind) };
      const limits = final ? FINAL_LIMITS : LIMITS;
      const at = await this.database.transaction((db) => writeSeries(db, options), limits);
      if (at !== undefined) this.minute = minuteOf(at);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (isPassing(error)) log.debug({ err: error }, 'the history is written in a second');
      else {
        // The same would come of it each second.
        this.minute = minuteOf(now);
        this.untold(error);
      }
    }
  }

  /** Said once: it is only what people see, and it is tried again each minute. */
  private untold(error: Error, kind = 'any'): void {
    if (this.unwritten.has(kind)) return;
    this.unwritten.add(kind);
    this.host.log.warn({ err: error, kind }, 'the history of this kind of thing cannot be written');
  }
}
