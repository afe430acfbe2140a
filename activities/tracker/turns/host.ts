/** The node and its parts, as the files of this folder need one another. They import this file and not the node. */
import type { Logger } from 'pino';
import type { MailNotifier } from '../store/mail-notifier';
import type { Database } from '../../lib/database';
import type { EndedTurn } from '../member/ended';
import type { Clock } from '../shift/clock';
import type { Placing } from '../route';
import type { PoolTurns } from './pool';
import type { RunHost } from './run';

/** All that the parts of a node's turns share. */
export interface TurnsHost extends RunHost {
  readonly clock: Pick<Clock, 'now' | 'toStore'>;
  readonly log: Logger;
  /** For readings, and for what is told. */
  readonly database: Database;
  readonly notifier: MailNotifier;
  readonly pools: ReadonlySet<PoolTurns>;
  /** The places of a tracker's ids. @throws where there is no such tracker, or nothing can be sent to it */
  readonly placingOf: (tracker: string, toSend?: boolean) => Placing;
  /** To be awaited before a commit, with those that it sends to. */
  meet(trackers: Iterable<string>): Promise<void>;
  /** Now, by the database's clock: all of `member/` has that time. */
  now(): number;
  /** Something can be done: soon. */
  go(): void;
  /** Something is in the mail of that pool, or may be. */
  look(pool: PoolTurns): void;
  /** So many members were read. */
  loaded(tracker: string, members: number): void;
  /** A turn has ended, committed or not. */
  ended(pool: PoolTurns, id: string, turn: EndedTurn): void;
}
