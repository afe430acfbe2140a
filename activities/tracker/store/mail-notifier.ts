/**
 * Tells nodes of mail and clients of replies, in as few statements as may be: the first announcement leaves at once,
 * and what comes within two milliseconds of it, or while it is under way, leaves together. A node has one, and so has a
 * client. It drops what it cannot tell: who waits looks each second.
 */
import type { Logger } from 'pino';
import {
  announce,
  mailAnnouncements,
  replyAnnouncements,
  type Announcement,
  type Ask,
  type PoolAt,
} from './mail-notices';

/** Time between two statements. Milliseconds. */
const EVERY_MS = 2;

export class MailNotifier {
  private mail: PoolAt[] = [];
  private handedOn: PoolAt[] = [];
  private answered: { client: string; request: string }[] = [];
  private underWay: Promise<void> | undefined;

  constructor(
    private readonly ask: Ask,
    private readonly log: Pick<Logger, 'debug'>,
  ) {}

  /** There is mail for these pools. It must be committed. */
  toldMail(pools: readonly PoolAt[]): void {
    this.mail.push(...pools);
    this.go();
  }

  /** The same, from a node that was told and does not keep them. */
  handOn(pools: readonly PoolAt[]): void {
    this.handedOn.push(...pools);
    this.go();
  }

  /** These requests have their answers. They must be committed. */
  toldReplies(answered: readonly { readonly client: string; readonly request: string }[]): void {
    this.answered.push(...answered);
    this.go();
  }

  /** All that was said until now has left, or is dropped. */
  async idle(): Promise<void> {
    while (this.underWay) await this.underWay;
  }

  private go(): void {
    this.underWay ??= this.tellAll().finally(() => {
      this.underWay = undefined;
      if (this.hasMore) this.go();
    });
  }

  private get hasMore(): boolean {
    return this.mail.length + this.handedOn.length + this.answered.length > 0;
  }

  private async tellAll(): Promise<void> {
    // All that is said in the same moment leaves together.
    await Promise.resolve();
    const announcements = this.take();
    if (announcements.length === 0) return;
    try {
      await announce(this.ask, announcements);
    } catch (error) {
      this.log.debug({ err: error }, 'nobody could be told of mail; who waits for it looks each second');
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }

  private take(): Announcement[] {
    const { mail, handedOn, answered } = this;
    this.mail = [];
    this.handedOn = [];
    this.answered = [];
    return [...mailAnnouncements(mail), ...mailAnnouncements(handedOn, true), ...replyAnnouncements(answered)];
  }
}
