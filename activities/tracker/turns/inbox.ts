/**
 * Hears of mail for a node's pools, on a channel of the node's own (`store/mail-notices.ts`): senders tell the keeper
 * of a pool that they know of. If that is another node by now, it is told on, once. Made by `node-turns.ts`.
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import { Listener } from '../../lib/listener';
import type { Service } from '../../lib/service';
import { keepersOfPools, mailNoticeOf, nodeChannel, type MailNotice } from '../store/mail-notices';
import type { TurnsHost } from './host';

export interface InboxHost extends Pick<TurnsHost, 'pools' | 'look' | 'notifier' | 'log'> {
  readonly node: string;
  /** Something may have been missed: look everywhere. */
  lookAtAll(): void;
  /** A message was for a pool that another node keeps. */
  redirected(tracker: string): void;
}

export class Inbox implements Service {
  private readonly listener: Listener;

  constructor(
    private readonly database: Database,
    private readonly host: InboxHost,
    log: Logger,
  ) {
    this.listener = new Listener(database, {
      channel: nodeChannel(host.node),
      heard: (payload) => this.hear(payload),
      log,
    });
  }

  start(): Promise<void> {
    return this.listener.start();
  }

  stop(): Promise<void> {
    return this.listener.stop();
  }

  private hear(payload: string | undefined): void {
    const notice = mailNoticeOf(payload);
    if (!notice) return this.host.lookAtAll();
    const others = new Set(notice.pools);
    for (const pool of this.host.pools) {
      if (pool.tracker !== notice.tracker || !others.delete(pool.members.pool)) continue;
      this.host.look(pool);
    }
    if (others.size > 0 && !notice.handedOn) void this.handOn({ ...notice, pools: [...others] });
  }

  private async handOn(notice: MailNotice): Promise<void> {
    try {
      const keepers = await keepersOfPools((...ask) => this.database.rows(...ask), notice);
      // A pool that the database says is ours is about to be kept here, and its mail read.
      const elsewhere = keepers.filter(({ node }) => node !== this.host.node);
      if (elsewhere.length === 0) return;
      this.host.redirected(notice.tracker);
      this.host.notifier.handOn(elsewhere);
    } catch (thrown) {
      this.host.log.debug({ err: errorOf(thrown) }, 'mail for another node could not be told on; it looks each second');
    }
  }
}
