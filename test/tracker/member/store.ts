/**
 * A model of what PostgreSQL has of members, and of the statements that read and write it: each is one moment, whole
 * or not at all. `commit` carries out a `Commit` as its comment says, and nothing else changes a member but a
 * removal.
 */
import { admit, type Admission } from '../../../activities/tracker/member/admission';
import type { Commit, MemberPart, Verdict } from '../../../activities/tracker/member/commit';
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import { removedBefore } from '../../../activities/tracker/member/ended';
import { marksFromJson, marksToJson, sealed } from '../../../activities/tracker/member/marks';
import { NOT_STORED, type Stored } from '../../../activities/tracker/member/member';
import type { Reading } from '../../../activities/tracker/member/pool-mail';
import type { Struck } from '../../../activities/tracker/member/strikes';
import { tableStep, type TableStep } from '../../../activities/tracker/member/rotation';
import type { Answer, Dead, Mail, Pushed, Timer } from '../../../activities/tracker/member/types';
import { hashId } from '../../../workflows/lib/hash';
import { holds, slotOf, slotsOf, sourceOfSplit } from '../../../workflows/tracker/slots';

interface Life {
  version: number;
  state: string | null;
  stateVersion: number;
  marks: string;
  applied: [string, number][];
  sets: number;
}

/** A row that is to be inserted. */
export type NewMail = Omit<Mail, 'id' | 'storedAt' | 'attempts' | 'answered' | 'notBefore'>;

export interface PoolRow {
  token: number;
  rosterVersion: number;
  /** Somebody has it locked until then. */
  lockedUntil: number;
  /** Its last keeper has ended cleanly. */
  isReleased?: boolean;
  /** When it was last taken from one that had not. */
  struckBefore?: number;
}

/** A change of a pool's roster, as a shift reads it. */
export interface RosterChange {
  readonly id: string;
  readonly version: number;
  readonly stamp: number;
}

/** The statement fails as a whole, for the sake of a row. */
export class Unstorable extends Error {}

export class MemberStore {
  readonly pools: PoolRow[] = [{ token: 0, rosterVersion: 1, lockedUntil: 0 }];
  readonly lives = new Map<string, Life>();
  readonly roster = new Map<string, { stamp: number; removed: boolean }>();
  readonly changes: RosterChange[] = [];
  /** By id: the stamp of its last removal. */
  readonly removals = new Map<string, number>();
  /** When it was removed last. */
  private readonly ended = new Map<string, number>();
  readonly timers = new Map<string, Map<string, Timer>>();
  readonly tables = [0, 1, 2].map(() => new Map<number, Mail>());
  readonly clean = [true, true, true];
  current = 0;
  since: number;
  readonly answers = new Map<string, { answer: Answer['answer']; until: number }>();
  readonly dead: (Dead & { member: string })[] = [];
  readonly pushed: Pushed[] = [];
  /** By `ctx.key`. */
  readonly strikes = new Map<string, { member: string; count: number; keeper: string }>();
  private stamps = 0;

  constructor(
    readonly now: () => number,
    private readonly limits: MemberLimits,
    /** Told of each member's part, as it is written. */
    private readonly written: (part: MemberPart, before: string | null) => void,
  ) {
    this.since = now();
  }

  poolOf(id: string): number {
    return this.pools.findIndex((_, pool) => this.isIn(pool, id));
  }
  isIn(pool: number, id: string): boolean {
    return holds(slotsOf(pool, this.pools.length), slotOf(hashId(id)));
  }
  /** The last stamp that was drawn. */
  get stamped(): number {
    return this.stamps;
  }
  stamp(): number {
    return ++this.stamps;
  }
  mailOf(member: string): Mail[] {
    return this.all().filter((mail) => mail.member === member);
  }
  all(): Mail[] {
    return this.tables.flatMap((table) => [...table.values()]);
  }

  // ── What senders do ──

  /** @param ids as they were drawn when the statement began, where it took a while */
  insert(batch: readonly NewMail[], ids?: readonly number[]): Admission[] {
    const told = batch.map(({ member, bytes, toldAt, request }) => ({
      member,
      bytes,
      toldAt,
      isRequest: request !== undefined,
    }));
    const waiting = (member: string) => {
      const mail = this.mailOf(member);
      return { entries: mail.length, bytes: mail.reduce((sum, { bytes }) => sum + bytes, 0) };
    };
    const admissions = admit(told, waiting, () => false, this.now(), this.limits);
    admissions.forEach((admission, at) => admission === 'taken' && this.addMail(batch[at]!, ids?.[at]));
    return admissions;
  }

  answerTo(member: string, request: string): Answer['answer'] | undefined {
    const found = this.answers.get(`${member}/${request}`);
    // It stays while the same request waits once more.
    const waits = () => this.mailOf(member).some((mail) => mail.request?.id === request);
    return found && (found.until > this.now() || waits()) ? found.answer : undefined;
  }

  // ── What the holder of a pool reads ──

  /** @param from the tables that this statement looks into: all, but in a world where it is not one statement */
  read(ids: (id: string) => boolean, { known, full, blocked }: Reading, tables: readonly number[]): Mail[] {
    return tables
      .flatMap((table) => [...this.tables[table]!.values()])
      .filter(({ id, member }) => ids(member) && !known.includes(id) && !full.includes(member))
      .filter(({ member, from }) => !blocked.some((stream) => stream.member === member && stream.from === from))
      .map((mail) => ({
        ...mail,
        ...(mail.request && { answered: this.answerTo(mail.member, mail.request.id) !== undefined }),
      }))
      .sort((a, b) => a.id - b.id);
  }

  timersDue(ids: (id: string) => boolean): { member: string; timer: Timer }[] {
    return [...this.timers].flatMap(([member, timers]) =>
      ids(member) ? [...timers.values()].filter(({ at }) => at <= this.now()).map((timer) => ({ member, timer })) : [],
    );
  }

  load(id: string): Stored {
    const life = this.lives.get(id);
    const entry = this.roster.get(id);
    const removedAt = entry?.removed ? entry.stamp : 0;
    const present = entry !== undefined && !entry.removed;
    if (!life) return { ...NOT_STORED, removedAt, image: { ...NOT_STORED.image, present } };
    const { version, state, stateVersion, sets } = life;
    const marks = marksFromJson(life.marks);
    const timers = new Map(this.timers.get(id));
    const image = { present, state, stateVersion, marks, applied: new Map(life.applied), timers, sets };
    return { version, removedAt, image };
  }

  // ── What changes the roster ──

  /** Deletes mail and state, and keeps the marks: what was handled before is not handled again. */
  remove(id: string): void {
    const stamp = this.stamp();
    const pool = this.pools[this.poolOf(id)]!;
    this.roster.set(id, { stamp, removed: true });
    this.removals.set(id, stamp);
    this.ended.set(id, this.now());
    this.changes.push({ id, version: ++pool.rosterVersion, stamp });
    const life = this.lives.get(id);
    const mail = this.mailOf(id);
    const marks = marksToJson(sealed(marksFromJson(life?.marks ?? null), mail));
    const version = (life?.version ?? 0) + 1;
    this.lives.set(id, { state: null, stateVersion: 1, version, marks, applied: [], sets: life?.sets ?? 0 });
    this.timers.delete(id);
    for (const { id: row, request } of mail) {
      if (request && !this.answers.has(`${id}/${request.id}`)) {
        const answer = { error: removedBefore({ tracker: 't', id }) };
        this.answers.set(`${id}/${request.id}`, { answer, until: this.now() + this.limits.repliesMs });
      }
      this.deleteMail(row);
    }
  }

  split(): void {
    const made = this.pools.length;
    const source = this.pools[sourceOfSplit(made)]!;
    source.rosterVersion++;
    this.pools.push({ token: 0, rosterVersion: source.rosterVersion, lockedUntil: 0, struckBefore: this.now() });
  }

  // ── What may have ended the process of a keeper ──

  /** The pool has a new keeper. @returns what it finds */
  take(pool: number, ids: (id: string) => boolean): Struck {
    const row = this.pools[pool]!;
    if (row.token > 0 && !row.isReleased) row.struckBefore = this.now();
    row.token++;
    row.isReleased = false;
    const suspects = [...this.strikes].flatMap(([key, { member }]) => (ids(member) ? key : []));
    return { before: row.struckBefore, suspects };
  }

  countStrike({ pool, token }: { pool: number; token: number }, member: string, key: string): number | undefined {
    if (this.pools[pool]!.token !== token || this.poolOf(member) !== pool) return undefined;
    const keeper = `${pool}/${token}`;
    const before = this.strikes.get(key);
    const count = (before?.count ?? 0) + (before?.keeper === keeper ? 0 : 1);
    this.strikes.set(key, { member, count, keeper });
    return count;
  }

  deleteStrike({ pool, token }: { pool: number; token: number }, key: string): void {
    if (this.strikes.get(key)?.keeper === `${pool}/${token}`) this.strikes.delete(key);
  }

  /** It did not begin: as the keepers before have left it. */
  uncountStrike({ pool, token }: { pool: number; token: number }, key: string): void {
    const strike = this.strikes.get(key);
    if (strike?.keeper !== `${pool}/${token}`) return;
    if (strike.count > 1) this.strikes.set(key, { ...strike, count: strike.count - 1, keeper: '' });
    else this.strikes.delete(key);
  }

  // ── The commit ──

  /** @throws Unstorable, and then nothing of it is written */
  commit({ pools }: Commit): Verdict[] {
    if (pools.some(({ members }) => members.some(({ row }) => row?.state?.includes('unstorable'))))
      throw new Unstorable();
    const verdicts = pools.map(({ pool, token, rosterVersion, members }): Verdict => {
      const row = this.pools[pool]!;
      if (row.token !== token) return { verdict: 'fenced', refused: [] };
      if (row.lockedUntil > this.now()) return { verdict: 'later', refused: [] };
      if (row.rosterVersion !== rosterVersion) return { verdict: 'roster', refused: [] };
      const refused = members.flatMap((part) => {
        const why = this.refusal(part);
        return why ? [{ id: part.id, ...why }] : [];
      });
      return { verdict: 'done', refused };
    });
    for (const [at, { members }] of pools.entries()) {
      const { verdict, refused } = verdicts[at]!;
      for (const part of verdict === 'done' ? members : []) {
        if (!refused.some(({ id }) => id === part.id)) this.write(part);
      }
    }
    return verdicts;
  }

  private refusal(part: MemberPart): { why: 'stale' | 'refused'; error?: string } | undefined {
    const stale = { why: 'stale' } as const;
    if ((this.lives.get(part.id)?.version ?? 0) !== part.expected) return stale;
    const mail = [...part.mailGone, ...part.again.map((again) => again.mail)];
    if (!mail.every((id) => this.tables.some((table) => table.has(id)))) return stale;
    if (part.answers.some(({ request }) => this.answerTo(part.id, request) !== undefined)) return stale;
    const entry = this.roster.get(part.id);
    if (part.spawn !== undefined && entry?.removed && entry.stamp >= part.spawn) return stale;
    // Their own mail, which they delete in the same moment, counts.
    if (part.sent.some(({ to }) => this.isCrowded(part, to.id)))
      return { why: 'refused', error: 'a member that it sends to has no room' };
    if (part.writes.some(({ sql }) => sql === 'fail')) return { why: 'refused', error: 'the statement failed' };
    return undefined;
  }

  /** Whether there is no room for what a turn sends to a member. One that has no mail takes any turn's. */
  private isCrowded(part: MemberPart, to: string): boolean {
    const waiting = this.mailOf(to);
    const more = part.sent.filter((sent) => sent.to.id === to);
    const { entries, bytes } = this.limits.handlerMail;
    const sum = waiting.reduce((all, mail) => all + mail.bytes, 0);
    const moreBytes = more.reduce((all, { json }) => all + Buffer.byteLength(json), 0);
    return waiting.length > 0 && (waiting.length + more.length > entries || sum + moreBytes > bytes);
  }

  private write(part: MemberPart): void {
    const before = this.lives.get(part.id);
    this.written(part, before?.state ?? null);
    if (part.row) {
      const { state, stateVersion, marks, applied, sets } = part.row;
      this.lives.set(part.id, {
        version: part.expected + 1,
        state,
        stateVersion,
        marks: marksToJson(marks),
        applied: [...applied],
        sets,
      });
    }
    if (part.spawn !== undefined && this.roster.get(part.id)?.removed !== false)
      this.roster.set(part.id, { stamp: part.spawn, removed: false });
    let timers = this.timers.get(part.id);
    if (!timers) this.timers.set(part.id, (timers = new Map<string, Timer>()));
    for (const name of part.timersGone) timers.delete(name);
    for (const timer of part.timersSet) timers.set(timer.name, timer);
    for (const id of part.mailGone) this.deleteMail(id);
    for (const { mail, attempts, notBefore } of part.again) {
      const table = this.tables.find((one) => one.has(mail))!;
      table.set(mail, { ...table.get(mail)!, attempts, notBefore });
    }
    this.dead.push(...part.dead.map((dead) => ({ ...dead, member: part.id })));
    for (const { request, answer } of part.answers) {
      this.answers.set(`${part.id}/${request}`, { answer, until: this.now() + this.limits.repliesMs });
    }
    this.pushed.push(...part.pushes);
    for (const { to, json, replyTo, trace } of part.sent) {
      const bytes = Buffer.byteLength(json);
      const common = { member: to.id, json, bytes, from: `t/${part.id}`, toldAt: this.now() };
      this.addMail({ ...common, ...(replyTo && { replyTo }), ...(trace && { trace }) });
    }
  }

  // ── The mail tables ──

  turnTables(busy: ReadonlySet<number>): TableStep {
    const { current, since } = this;
    const tables = this.tables.map(({ size }, at) => ({ rows: size, isClean: this.clean[at]! }));
    const step = tableStep({ current, since, tables }, this.now(), this.limits, busy);
    if (step?.do === 'turn') {
      if (!this.clean[step.to]) throw new Error(`table ${step.to} takes new mail, and was not truncated`);
      this.current = step.to;
      this.since = this.now();
    } else if (step?.do === 'truncate') {
      if (this.tables[step.table]!.size === 0) this.clean[step.table] = true;
    } else if (step?.do === 'carry') {
      const from = this.tables[step.table]!;
      for (const [id, mail] of from) this.tables[this.current]!.set(id, mail);
      this.clean[this.current] = false;
      from.clear();
    }
    return step;
  }

  /** Members that were removed long ago, and have no mail, are forgotten with all numbers; answers as well. */
  purge(): void {
    const old = this.now() - this.limits.marksMs;
    for (const [id, at] of this.ended) {
      if (at >= old || this.mailOf(id).length > 0) continue;
      this.ended.delete(id);
      if (this.roster.get(id)?.removed !== true) continue;
      this.lives.delete(id);
      this.roster.delete(id);
    }
    for (const [key, { until }] of this.answers) {
      const [member, request] = key.split('/');
      if (until <= this.now() && !this.answerTo(member!, request!)) this.answers.delete(key);
    }
  }

  private addMail(row: NewMail, id = this.stamp()): void {
    this.tables[this.current]!.set(id, { ...row, id, storedAt: this.now(), attempts: 0 });
    this.clean[this.current] = false;
  }
  private deleteMail(id: number): void {
    for (const table of this.tables) table.delete(id);
  }
}
