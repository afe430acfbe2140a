/**
 * The node's part in the cluster: its row (`attendance.ts`), which pools it takes and gives (`placing.ts`), whether it
 * asks for shifts (`openings.ts`) and what it tells of itself (`figures.ts`). Made by the node (`node.ts`); these four
 * know each other only here.
 */
import type { Logger } from 'pino';
import type { Database, Queryable } from '../../lib/database';
import { Background } from '../../lib/service';
import type { StatsRow } from '../store/node-stats';
import type { Attended, Incarnation, NodeRow, NodeWord } from '../store/nodes';
import { Attendance, type AttendanceHost } from './attendance';
import type { Clock } from './clock';
import { Figures, type FiguresHost, type PlacingEvent } from './figures';
import { NO_STATES, type KnownStates } from '../member/loading';
import { Openings } from './openings';
import { Placing } from './placing';
import type { PlacingHost } from './placing-host';

export interface PresenceSetup {
  database: Database;
  /** The row's own connection. @default database, for tests */
  rows?: Database;
  /** The claim of the process on its name. @default nobody else has it, for tests */
  incarnation?: () => Incarnation | undefined;
  /** Since when Temporal cannot be reached, milliseconds; undefined: it can. */
  temporalRefusedMs?: () => number | undefined;
  /** The states of members, as far as the code knows them. @default no members have any */
  states?: KnownStates;
  /** In [0, 1). @default Math.random */
  random?: () => number;
}

/** The node, as its part in the cluster needs it. */
export interface PresenceHost extends FiguresHost {
  readonly row: NodeRow;
  readonly clock: Clock;
  readonly log: Logger;
  readonly definitions: ReadonlyMap<string, unknown>;
  stats(): StatsRow[];
  /** For the metrics. */
  placed(what: PlacingEvent, tracker: string): void;
}

export class Presence extends Background implements AttendanceHost, PlacingHost {
  readonly figures: Figures;
  readonly placing: Placing;
  readonly openings: Openings;
  private readonly attendance: Attendance;
  private ending = false;

  constructor(
    private readonly setup: PresenceSetup,
    private readonly host: PresenceHost,
  ) {
    super();
    this.figures = new Figures(host, setup.temporalRefusedMs);
    this.placing = new Placing(setup.database, this, setup.random);
    this.attendance = new Attendance(setup.rows ?? setup.database, this, setup.database, setup.random);
    this.openings = new Openings(() => {
      const { lost, ...facts } = this.placing.opening();
      return { able: !lost && this.attendance.isHeard, ...facts };
    });
  }

  /** It hears from PostgreSQL, and does not end. */
  get isAble(): boolean {
    return !this.ending && this.attendance.isHeard;
  }

  /** Its row is written and the others' are read, now. Never rejects. */
  attend(): Promise<void> {
    return this.attendance.attend();
  }

  /** Something was announced of the nodes. */
  hint(): void {
    this.attendance.hint();
  }

  /** Says whether the process takes tasks; all others hear of it at once. */
  take(taking: boolean): void {
    this.placing.take(taking);
    if (taking) this.attendance.hint();
  }

  /**
   * The node ends: it asks for no shifts, says so to all others, and gives them its pools, a few at a time; those that
   * no other may keep end at once.
   */
  drain(): void {
    if (this.ending) return;
    this.ending = true;
    this.placing.end();
    this.openings.look();
    // A node that has joined just now is in the rows that come back.
    void this.attendance.announce().then(() => this.placing.handBackTheRest());
  }

  get isEnding(): boolean {
    return this.ending;
  }

  protected open(): Promise<void> {
    return this.attendance.start();
  }

  protected close(): Promise<void> {
    return this.attendance.stop();
  }

  // ── What its parts ask ──

  get row(): NodeRow {
    return this.host.row;
  }
  get clock(): Clock {
    return this.host.clock;
  }
  get log(): Logger {
    return this.host.log;
  }
  get definitions(): ReadonlyMap<string, unknown> {
    return this.host.definitions;
  }
  get states(): KnownStates {
    return this.setup.states ?? NO_STATES;
  }
  get incarnation(): Incarnation | undefined {
    return this.setup.incarnation?.();
  }

  stats(): StatsRow[] {
    return this.host.stats();
  }
  word(): NodeWord {
    return this.placing.word();
  }
  heard(answer: Attended): boolean {
    return this.placing.heard(answer);
  }
  look(db: Queryable): Promise<void> {
    return this.placing.read(db);
  }
  attended(how: 'noted' | 'failed' | 'lost'): void {
    if (how !== 'failed') this.placing.named(how === 'lost');
    this.openings.look();
  }
  placed(what: PlacingEvent, tracker: string): void {
    this.figures.count(what);
    this.host.placed(what, tracker);
  }
  reopened(): void {
    this.openings.look();
  }
}
