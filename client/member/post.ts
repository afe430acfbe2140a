/**
 * All mail of one program: a sender for each tracker, its requests that wait for replies, and the announcements to
 * nodes. Made by `Longwatch` once; asked by the handles of members. On connections of its own with prepared
 * statements: a send waits for nothing else that the program reads.
 */
import { MEMBER, type MemberLimits } from '../../activities/tracker/member/constants';
import { Clock } from '../../activities/tracker/shift/clock';
import { insertMail } from '../../activities/tracker/store/mail';
import { MailNotifier } from '../../activities/tracker/store/mail-notifier';
import { clientChannel, type PoolAt } from '../../activities/tracker/store/mail-notices';
import { UnkeptPools } from '../../activities/tracker/store/unkept';
import { classOf } from '../../activities/lib/sqlstate';
import type { Listener } from '../../activities/lib/listener';
import { didYouMean } from '../../config/suggest';
import { ErrorType } from '../../workflows/lib/errors';
import type { RunState } from '../../workflows/lib/contract';
import { NAME_PATTERN, type OptionChanges } from '../../workflows/lib/options';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import { DatabaseUnavailableError, LongwatchError, TrackerStoppedError, UnknownTrackerError } from '../errors';
import { TRACKER_NAMES } from '../tracker/queries';
import { DoesNotReceiveError, PlacedByRouteError } from './errors';
import { Recent } from '../recent';
import { RECEIVING, REPLIES } from './queries';
import { Replies, ROWS, type Asked, type ReplyRow } from './replies';
import { TrackerSender, type MailStore } from './tracker-sender';

/** How long what was read of a tracker is believed. Milliseconds. */
const BELIEVED_MS = 5_000;
/** Senders that are kept: one for each tracker. */
const SENDERS = 1_000;

interface Row {
  [column: string]: unknown;
  /** null: there is no such tracker. */
  state: RunState | null;
  options: TrackerOptions;
  changes: OptionChanges;
  now: number;
}

export class Post {
  private readonly senders = new Recent<TrackerSender>(SENDERS, (sender) => sender.isIdle);
  private readonly clock = new Clock();
  private readonly notifier: MailNotifier;
  private readonly unkept: UnkeptPools;
  private listener: Listener | undefined;
  private underWay = new Set<Promise<unknown>>();
  private isClosed = false;
  readonly replies: Replies;

  constructor(private readonly connections: Connections) {
    this.notifier = new MailNotifier((statement, values) => connections.mail.rows(statement, values), connections.log);
    this.unkept = new UnkeptPools(connections.mail.queryable, connections.log);
    this.replies = new Replies(
      {
        read: (asked) => this.read(asked),
        listen: (heard) => this.listen(heard),
      },
      connections.log,
    );
  }

  sender(tracker: string): TrackerSender {
    if (this.isClosed) throw new LongwatchError('this connection is closed; nothing was sent');
    return this.senders.get(tracker, () => new TrackerSender(tracker, this.storeOf(tracker)));
  }

  /** `close` waits for it. */
  track<T>(work: Promise<T>): Promise<T> {
    this.underWay.add(work);
    const over = (): void => void this.underWay.delete(work);
    work.then(over, over);
    return work;
  }

  /** Tells these nodes of mail, by and by: `close` waits for it. It must be committed. */
  toldMail(keepers: readonly PoolAt[]): void {
    this.notifier.toldMail(keepers);
  }

  /** Nothing more is taken; what was is stored, or its promise has failed, and each request has its outcome. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.senders.all().map((sender) => sender.idle()));
    await Promise.allSettled(this.underWay);
    await this.notifier.idle();
    await this.unkept.idle();
    await this.listener?.stop();
  }

  private storeOf(tracker: string): MailStore {
    let known: { limits: MemberLimits; until: number } | undefined;
    const { connections, clock, notifier, replies, unkept } = this;
    const receiving = async (): Promise<MemberLimits> => {
      if (!known || known.until < performance.now()) {
        known = { limits: await this.limitsOf(tracker), until: performance.now() + BELIEVED_MS };
      }
      return known.limits;
    };
    return {
      client: replies.client,
      limits: receiving,
      forget: () => (known = undefined),
      now: () => clock.toStore(clock.now()),
      insert: async (batch, limits) => {
        const inserted = await insertMail(
          connections.mail.queryable,
          tracker,
          batch,
          limits,
          connections.definitions.get(tracker),
        ).catch((error: unknown) => {
          throw (error as { type?: unknown }).type === ErrorType.NotDefinedHere
            ? new PlacedByRouteError(tracker, error)
            : error;
        });
        notifier.toldMail(inserted.keepers);
        unkept.note(inserted.unkept);
        return inserted;
      },
      passes,
    };
  }

  private async limitsOf(tracker: string): Promise<MemberLimits> {
    const askedAt = this.clock.now();
    // A text that cannot be a name finds nothing, and PostgreSQL may refuse it.
    const name = NAME_PATTERN.test(tracker) ? tracker : '';
    const [row] = await this.connections.mail.rows<Row>(RECEIVING, [name]);
    const { state, options, changes, now } = row!;
    this.clock.set(now, askedAt);
    if (state === null) {
      const names = await this.connections.mail.rows<{ name: string }>(TRACKER_NAMES, []);
      const known = names.map(({ name }) => name);
      throw new UnknownTrackerError(tracker, didYouMean(tracker, known), known);
    }
    const { receive } = withChanges(options, changes);
    if (!receive) throw new DoesNotReceiveError(tracker);
    if (state === 'stopped') throw new TrackerStoppedError(tracker);
    return { ...MEMBER, memberMail: { entries: receive.maxMail, bytes: receive.maxMailBytes } };
  }

  private read(asked: readonly Asked[]): Promise<ReplyRow[]> {
    const column = (name: keyof Asked): string[] => asked.map((one) => one[name]);
    return this.connections.mail.rows<ReplyRow & Record<string, unknown>>(REPLIES, [
      column('tracker'),
      column('member'),
      column('request'),
      ROWS,
    ]);
  }

  private listen(heard: (payload: string | undefined) => void): void {
    if (this.listener) return;
    this.listener = this.connections.mail.listener(clientChannel(this.replies.client), heard);
    void this.listener.start();
  }
}

/** The same batch may be written again: it was not the batch. */
function passes(error: unknown): boolean {
  if (error instanceof LongwatchError) return error instanceof DatabaseUnavailableError;
  return ['outage', 'conflict', 'cancelled'].includes(classOf(error));
}
