/**
 * Hears the database's announcements (NOTIFY) on a connection of its own. They are hints: whoever misses one
 * finds the change at the next flush, so a lost connection is only made again, with a hint for everything.
 */
import type { Client } from 'pg';
import type { Logger } from 'pino';
import { type ChangeNotice } from '../../../workflows/tracker/contract';
import type { Database } from '../../lib/database';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';

const RECONNECT_MS = 500;

export class Listener {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly database: Database,
    /** Undefined: something may have been missed. */
    private readonly heard: (notice: ChangeNotice | undefined) => void,
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    const client = this.database.listener();
    this.client = client;
    client.on('notification', ({ payload }) => {
      try {
        this.heard(JSON.parse(payload ?? '') as ChangeNotice);
      } catch {
        this.heard(undefined);
      }
    });
    const again = () => this.reconnect(client);
    client.on('error', again);
    client.on('end', again);
    try {
      await client.connect();
      await client.query(`listen ${NOTIFY_CHANNEL}`);
      this.heard(undefined);
    } catch (error) {
      this.log.debug({ err: error }, 'the listener could not connect; trying again');
      this.reconnect(client);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.client?.end().catch(() => undefined);
  }

  private reconnect(lost: Client): void {
    if (this.closed || this.client !== lost) return;
    this.client = undefined;
    lost.removeAllListeners();
    lost.on('error', () => undefined);
    void lost.end().catch(() => undefined);
    this.timer = setTimeout(() => void this.start(), RECONNECT_MS);
  }
}
