/**
 * A node's word of itself each second: that it is there, and what it has done. A transaction of its own each, on the
 * connections that everybody shares; where it fails, one second of attendance is missing, and nothing else. Started by
 * the node; read by `status`. On its way back it reads the database's clock, also while the node keeps no shift.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import { Background } from '../../lib/service';
import { beginNode, endNode, noteNode, purgeNodes, writeStats, type NodeRow, type StatsRow } from '../store/nodes';
import type { Clock } from './clock';

const ATTEND_MS = 1_000;
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
  stats(): StatsRow[];
  /** The node was noted, or could not be. */
  attended?(): void;
}

export class Attendance extends Background {
  private timer: NodeJS.Timeout | undefined;
  private attending: Promise<void> | undefined;
  private begun = false;
  private purgedAt: number;
  /** Monotonic. */
  private heardAt = -Infinity;

  constructor(
    private readonly database: Database,
    private readonly host: AttendanceHost,
  ) {
    super();
    // Not all nodes of a rollout at the same time.
    this.purgedAt = Date.now() - Math.random() * PURGE_MS;
  }

  /** Resolves when the node has been there once, or could not be. */
  protected async open(): Promise<void> {
    this.timer = setInterval(() => void this.attend(), ATTEND_MS);
    await this.attend();
  }

  /** PostgreSQL has noted the node a short while ago. */
  get isHeard(): boolean {
    return performance.now() - this.heardAt < HEARD_MS;
  }

  /** Never rejects. One at a time: whoever comes meanwhile waits for the one under way. */
  attend(): Promise<void> {
    this.attending ??= this.once()
      .catch((thrown: unknown) => {
        this.host.log.debug({ err: errorOf(thrown) }, 'the node could not be noted; it tries again in a second');
      })
      .finally(() => {
        this.attending = undefined;
        this.host.attended?.();
      });
    return this.attending;
  }

  /** Notes what there is to say in the end, and that it was the end. */
  protected async close(): Promise<void> {
    clearInterval(this.timer);
    await this.attending;
    await this.attend();
    await this.database.transaction((db) => endNode(db, this.host.row.name), LIMITS).catch(() => undefined);
  }

  private async once(): Promise<void> {
    const { row, clock } = this.host;
    const began = performance.now();
    await this.database.transaction(async (db) => {
      const asked = clock.now();
      clock.set(await noteNode(db, row), asked);
    }, LIMITS);
    this.heardAt = began;
    // Apart: whoever has a row of its counts locked does not make the node look gone.
    await this.database.transaction(async (db) => {
      if (!this.begun) await beginNode(db, row.name);
      await writeStats(db, row.name, this.host.stats(), (ms) => clock.toStore(ms));
    }, LIMITS);
    this.begun = true;
    if (Date.now() - this.purgedAt < PURGE_MS) return;
    this.purgedAt = Date.now();
    await this.database.transaction((db) => purgeNodes(db), LIMITS);
  }
}
