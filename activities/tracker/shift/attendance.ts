/**
 * A node's word of itself each second, in a transaction of its own on a connection of its own: that it is there, its
 * pools, how it does. The answer has what is wanted of it and what the others say, and the database's clock, also while
 * the node keeps no shift. A failure costs one second of attendance, and nothing else. Its counters follow apart.
 * Started by the node (`presence.ts`); `placing.ts` says what is written and hears the answer.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { Background } from '../../lib/service';
import { isPassing } from '../../lib/sqlstate';
import { retimed } from '../placement/row';
import {
  announceNodes,
  attendNode,
  endNode,
  type Attended,
  type Incarnation,
  type NodeRow,
  type NodeWord,
} from '../store/nodes';
import { beginNode, purgeNodes, writeStats, type StatsRow } from '../store/node-stats';
import type { Clock } from './clock';
import { HistoryWriter } from './history';

const ATTEND_MS = 1_000;
/** However often something is announced: not more often than this. */
const HINT_MS = 50;
/** A node that was not noted for so long cannot reach PostgreSQL, as far as it knows. Milliseconds. */
const HEARD_MS = 3_000;
/** Nodes that are gone are forgotten this often, milliseconds, by whoever is there. */
const PURGE_MS = 10 * 60_000;
/** Nobody may keep an attendance waiting longer than until it would be the next one's turn, or nearly so. */
const LIMITS = { statementTimeoutMs: 3_000, lockTimeoutMs: 500 };

export interface AttendanceHost {
  readonly row: NodeRow;
  readonly clock: Clock;
  readonly log: Logger;
  /** The claim of this process; undefined: it has not claimed its name. */
  readonly incarnation: Incarnation | undefined;
  stats(): StatsRow[];
  /** The things that it says of itself now. Its times are of the node's clock. */
  word(): NodeWord;
  /**
   * @param answer with the times of peers by the node's clock
   * @returns whether there is something new to say at once
   */
  heard(answer: Attended): boolean;
  /** The node was noted, or could not be, or its name is another process's. */
  attended(how: 'noted' | 'failed' | 'lost'): void;
  /** Reads what else it looks at each second. */
  look(db: Queryable): Promise<void>;
}

export class Attendance extends Background {
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private attending: Promise<void> | undefined;
  private counting: Promise<void> | undefined;
  private again = false;
  /** It was said that the node cannot be noted. */
  private told = false;
  private begun = false;
  private readonly history: HistoryWriter;
  private purgedAt: number;
  /** Monotonic. */
  private heardAt = -Infinity;
  private beganAt = -Infinity;

  /**
   * @param database the row's own: nothing else may keep it waiting
   * @param shared for counters, and for what else is looked at
   */
  constructor(
    private readonly database: Database,
    private readonly host: AttendanceHost,
    private readonly shared: Database = database,
    random: () => number = Math.random,
  ) {
    super();
    this.history = new HistoryWriter(shared, host);
    // Not all nodes of a rollout at the same time.
    this.purgedAt = Date.now() - random() * PURGE_MS;
  }

  /** PostgreSQL has noted the node a short while ago. */
  get isHeard(): boolean {
    return performance.now() - this.heardAt < HEARD_MS;
  }

  /** Never rejects. One at a time: whoever comes meanwhile waits for the one under way. */
  attend(): Promise<void> {
    this.attending ??= this.note().finally(() => {
      this.attending = undefined;
      if (this.again) this.hint();
    });
    return this.attending.then(() => this.counting);
  }

  /** There is something new to say or to hear: soon, and after the one that is under way. */
  hint(): void {
    if (this.attending) this.again = true;
    else if (this.timer && !this.soon) {
      const inMs = Math.max(0, this.beganAt + HINT_MS - performance.now());
      this.soon = setTimeout(() => {
        this.soon = undefined;
        void this.attend();
      }, inMs);
    }
  }

  /** The same, and the other nodes look as well. Never rejects. */
  async announce(): Promise<void> {
    await this.attending;
    await this.attend();
    await this.database.transaction(announceNodes, LIMITS).catch(() => undefined);
  }

  /** Resolves when the node has been there once, or could not be. */
  protected async open(): Promise<void> {
    this.timer = setInterval(() => void this.attend(), ATTEND_MS);
    await this.attend();
  }

  /** Notes what there is to say in the end, and that it was the end. */
  protected async close(): Promise<void> {
    clearInterval(this.timer);
    clearTimeout(this.soon);
    this.timer = undefined;
    await this.attending;
    await this.counting;
    await this.attend();
    if (this.isHeard) await this.history.end();
    const { row, incarnation } = this.host;
    await this.database
      .transaction((db) => endNode(db, row.name, incarnation?.number ?? 0), LIMITS)
      .catch(() => undefined);
  }

  private async note(): Promise<void> {
    const { host } = this;
    this.again = false;
    this.beganAt = performance.now();
    try {
      const answer = await this.database.transaction(async (db) => {
        const asked = host.clock.now();
        const attended = await attendNode(db, host.row, host.incarnation?.number ?? 0, this.word());
        if (attended) host.clock.set(attended.now, asked);
        return attended;
      }, LIMITS);
      if (!answer) return host.attended('lost');
      this.heardAt = this.beganAt;
      this.told = false;
      if (host.heard(this.byOwnClock(answer))) this.again = true;
      host.attended('noted');
      this.counting ??= this.count().finally(() => (this.counting = undefined));
    } catch (thrown) {
      this.failed(errorOf(thrown));
      host.attended('failed');
    }
  }

  /** The things that the node says, with times that all others understand: the database's. */
  private word(): NodeWord {
    const { placement, ...word } = this.host.word();
    return { ...word, placement: retimed(placement, (ms) => this.host.clock.toStore(ms)) };
  }

  private byOwnClock({ peers, ...answer }: Attended): Attended {
    const { clock } = this.host;
    return {
      ...answer,
      peers: peers.map((peer) => ({ ...peer, row: retimed(peer.row, (ms) => clock.fromStore(ms)) })),
    };
  }

  /** A second without is nothing to tell; what lasts is told once, and at once where waiting does not help. */
  private failed(error: Error): void {
    const lasts = !this.isHeard || !isPassing(error);
    if (lasts && !this.told) {
      this.host.log.warn({ err: error }, 'PostgreSQL does not note this node: it takes no pools until it does');
      this.told = true;
    } else this.host.log.debug({ err: error }, 'the node could not be noted; it tries again in a second');
  }

  /** Apart: whoever has a row of its counts locked does not make the node look gone. */
  private async count(): Promise<void> {
    const { row, clock, log } = this.host;
    const part = async (what: string, work: (db: Queryable) => Promise<void>): Promise<boolean> => {
      try {
        await this.shared.transaction(work, LIMITS);
        return true;
      } catch (thrown) {
        log.debug({ err: errorOf(thrown) }, `${what} in a second`);
        return false;
      }
    };
    await part('the node reads what it keeps again', (db) => this.host.look(db));
    // Until that is known to be done, and before anything is counted: done twice it changes nothing then, and counts
    // that are written before it would replace those of the process before this one.
    this.begun ||= await part('the node counts from nothing', (db) => beginNode(db, row.name));
    if (this.begun) {
      await part('the counters of the node are written', (db) =>
        writeStats(db, row.name, this.host.stats(), (ms) => clock.toStore(ms)),
      );
    }
    void this.history.look();
    if (Date.now() - this.purgedAt < PURGE_MS) return;
    this.purgedAt = Date.now();
    await part('nodes that are gone are forgotten', purgeNodes);
  }
}
