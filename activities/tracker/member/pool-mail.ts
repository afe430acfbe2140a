/**
 * The mail of a pool that is in memory, and its readings: `pool-members.ts` begins one, the shift asks the store, and
 * what was found comes here. The rows in memory are known by their ids, so a reading finds only others.
 *
 * A reading is of one moment, and time goes on until it is here. Rows that were committed or forgotten meanwhile are
 * not taken in again; nothing is taken in of a member whose mail has left memory, or later mail would come before it.
 */
import type { MemberLimits } from './constants';
import { Gauge, type Member } from './member';
import type { Mail } from './types';

/**
 * A reading of the mail that is under way. Its statement leaves out what is `known`, the mail of members that are
 * `full`, and what stands behind a message that waits for its time.
 */
export interface Reading {
  readonly number: number;
  readonly known: readonly number[];
  readonly full: readonly string[];
  readonly blocked: readonly { readonly member: string; readonly from: string }[];
  readonly rows: number;
  /** It ends with the row that reaches this. */
  readonly bytes: number;
}

export class PoolMail {
  /** All of it. */
  readonly memory = new Gauge();
  /** It is worth a reading at once. */
  wantsReading = false;
  private readonly known = new Map<number, { readonly member: Member; readonly storedAt: number }>();
  private reading:
    | {
        number: number;
        rows: number;
        bytes: number;
        gone: Set<number>;
        spoiled: Set<string>;
        full: Set<string>;
        hasBlocked: boolean;
      }
    | undefined;
  private readings = 0;
  private orders = 0;
  /** There is mail in the tables for which there was no room. */
  private hasLeft = false;
  /**
   * As the last reading that has ended has found it: there is, or may be, more mail in the tables than here. There may
   * be where a reading does not look: behind what waits after a failure, and at members that have as much as they may.
   */
  hasMore = false;
  /** Members that had as much as they may at the last reading. */
  private full: ReadonlySet<string> = new Set();

  constructor(private readonly limits: MemberLimits) {}

  /** A number for the next entry: they are handled by it. */
  order(): number {
    return ++this.orders;
  }

  /** One reading at a time. @param rows at most so many */
  begin(members: ReadonlyMap<string, Member>, rows = this.limits.readRows): Reading {
    const full: string[] = [];
    const blocked: { member: string; from: string }[] = [];
    for (const { address, memory, box } of members.values()) {
      // One before a gap is looked for, whether or not there is room.
      if (!memory.fits(1, this.limits.memberMemory) && !box.hasGaps) full.push(address.id);
      for (const from of box.blocked) blocked.push({ member: address.id, from });
    }
    // A part of the rows has that part of the bytes.
    const bytes = Math.ceil(this.limits.readBytes * Math.min(1, rows / this.limits.readRows));
    this.reading = {
      ...{ number: ++this.readings, rows, bytes, gone: new Set(), spoiled: new Set() },
      ...{ full: new Set(full), hasBlocked: blocked.length > 0 },
    };
    this.wantsReading = this.hasLeft = false;
    return { number: this.readings, known: [...this.known.keys()], full, blocked, rows, bytes };
  }

  /**
   * Takes in what was read, by ids from the smallest on; as many rows as were asked for may not be all. A row that
   * does not fit is left, with all after it of its member: it is read again.
   * @returns members to which something has happened
   */
  end(rows: readonly Mail[], members: ReadonlyMap<string, Member>, of: (id: string) => Member): Set<Member> {
    const { reading } = this;
    const touched = new Set<Member>();
    this.reading = undefined;
    if (!reading) return touched;
    const isAll = rows.length < reading.rows && rows.reduce((sum, { bytes }) => sum + bytes, 0) < reading.bytes;
    const upTo = isAll ? Infinity : rows.at(-1)!.id;
    const left = new Set<string>();
    for (const mail of rows) {
      if (this.known.has(mail.id) || reading.gone.has(mail.id) || reading.spoiled.has(mail.member)) continue;
      const member = of(mail.member);
      const hasRoom = !left.has(mail.member) && this.fits(member, mail);
      // One that keeps others back is taken without room.
      if (!hasRoom && !member.box.fills(mail)) {
        left.add(mail.member);
        continue;
      }
      this.known.set(mail.id, { member, storedAt: mail.storedAt });
      member.put({ what: { kind: 'mail', mail }, order: this.order(), reading: reading.number });
      touched.add(member);
    }
    this.full = reading.full;
    this.hasLeft = left.size > 0 || upTo < Infinity;
    this.hasMore = this.hasLeft || reading.full.size > 0 || reading.hasBlocked;
    this.wantsReading ||= upTo < Infinity && left.size === 0 && this.memory.fits(1, this.limits.poolMemory);
    const isCrowded = left.size > 0 && !this.memory.fits(1, this.limits.poolMemory);
    for (const member of members.values()) {
      if (!member.box.hasGaps) continue;
      const { id } = member.address;
      if (reading.full.has(id) || reading.spoiled.has(id)) continue;
      member.box.lookedFor(reading.number, upTo, isCrowded || left.has(id));
      touched.add(member);
    }
    return touched;
  }

  /** The reading has failed, or is of slots that are not the pool's any more. */
  drop(): void {
    this.reading = undefined;
  }

  /** A member's mail that is out of memory, to be read again when its time has come; and whether that is now. */
  putOut(member: Member): void {
    const { mail, isFreed } = member.box.takeBehind();
    for (const { id, bytes } of mail) {
      this.gone(id);
      member.memory.add(-1, -bytes);
      this.reading?.spoiled.add(member.address.id);
    }
    this.wantsReading ||= isFreed || member.box.hasGaps;
  }

  /** All of a member's mail is out of memory. */
  forget(member: Member): void {
    for (const [id, { member: whose }] of this.known) if (whose === member) this.gone(id);
    this.reading?.spoiled.add(member.address.id);
  }

  /** These rows are not there any more. */
  committed(ids: Iterable<number>): void {
    let wasFull = false;
    for (const id of ids) {
      const member = this.known.get(id)?.member;
      wasFull ||= member !== undefined && this.full.has(member.address.id);
      this.gone(id);
    }
    this.wantsReading ||= this.hasLeft || wasFull;
  }

  /** When the oldest of it was stored. @param none where there is none */
  oldestAt(none: number): number {
    let oldest = none;
    for (const { storedAt } of this.known.values()) oldest = Math.min(oldest, storedAt);
    return oldest;
  }

  private gone(id: number): void {
    this.known.delete(id);
    this.reading?.gone.add(id);
  }

  private fits({ memory }: Member, { bytes }: Mail): boolean {
    return this.memory.fits(bytes, this.limits.poolMemory) && memory.fits(bytes, this.limits.memberMemory);
  }
}
