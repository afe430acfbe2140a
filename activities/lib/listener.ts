/**
 * Hears the database's announcements (NOTIFY) on one channel, on a connection of its own. They are hints: whoever
 * misses one finds the change when it looks next, so a lost connection is only made again. Used by a node
 * (`tracker/shift/node.ts`) and by callers that wait for a key (`durable/keys.ts`).
 */
import type { Client } from 'pg';
import type { Logger } from 'pino';
import type { Database } from './database';
import type { Service } from './service';

const RECONNECT_MS = 500;

interface ListenerOptions {
  channel: string;
  /** Called with an announcement; with undefined when it listens (again): something may have been missed. */
  heard: (payload: string | undefined) => void;
  /** Asked after a connection was lost: whether anybody still listens. @default always */
  wanted?: () => boolean;
  log: Logger;
}

export class Listener implements Service {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly options: ListenerOptions,
  ) {}

  /** Returns after the first attempt to connect; further ones follow by themselves. Harmless where it has started. */
  async start(): Promise<void> {
    if (this.closed || this.client || this.timer !== undefined) return;
    const { channel, heard, log } = this.options;
    const client = this.database.listener();
    this.client = client;
    client.on('notification', ({ payload }) => heard(payload ?? ''));
    const again = () => this.reconnect(client);
    client.on('error', again);
    client.on('end', again);
    try {
      await client.connect();
      await client.query(`listen ${channel}`);
      heard(undefined);
    } catch (error) {
      log.debug({ err: error, channel }, 'the listener could not connect; trying again');
      this.reconnect(client);
    }
  }

  async stop(): Promise<void> {
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
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.options.wanted?.() ?? true) void this.start();
    }, RECONNECT_MS);
  }
}
