/**
 * The dead letters of a buffer, from outside: list them, look at one, bring them back or drop them. Got from
 * `BufferHandle.dead`; used by `longwatch dead`. Chosen here, in one statement; the shard itself takes them out
 * (`workflows/buffer/shard.ts`), so that its counts stay right whatever dies in between.
 */
import { randomUUID } from 'node:crypto';
import { deadSignal, shardWorkflowId, type DeadCommand } from '../../workflows/buffer/contract';
import type { EntryError } from '../../workflows/buffer/state';
import { announced, recorded, type Carried, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { InvalidEntryError, TimedOutError, UnknownLetterError } from '../errors';
import type { Json } from '../../workflows/lib/json';
import { cursorOf, pageSize, placeOf, type Page } from '../page';
import { DEAD_CHOOSE, DEAD_COUNT, DEAD_LIST, DEAD_OPEN, DEAD_PAGE, DEAD_SHOW } from './queries';
import { sleep } from '../../activities/lib/sleep';
import { patternOf } from '../fold-error';
import { iso } from '../iso';
import { groupDead, type DeadReport } from './dead-groups';
import { countDropped, restoreDropped } from './restore';

export interface DeadFilter {
  /** Their ids, as `list` shows them. */
  ids?: readonly string[];
  /** Only where the last error contains this text. */
  error?: string;
  /** Only where it is one of this group of `byError`: the same but for numbers and ids. */
  group?: string;
  /** Only those that died at least this long ago, milliseconds. */
  olderThanMs?: number;
}

export interface DeadEntry {
  /** Shard and number: `0-4711`. */
  id: string;
  value: Json;
  key: string | null;
  error: string;
  attempts: number;
  diedAt: string;
  state: 'dead' | 'retrying' | 'retried' | 'dropping' | 'dropped';
}

export interface DeadDetails extends DeadEntry {
  errors: EntryError[];
  /** The operator's action on it, and why. */
  op: string | null;
  note: string | null;
  changedAt: string;
}

export interface DeadResult {
  chosen: number;
  /** False: it was a dry run. */
  applied: boolean;
  /** Names what was done in the letters' records. */
  op: string | null;
}

interface ActOptions extends CommandOptions {
  /** Without it, it is a dry run. */
  apply?: boolean;
  /** For the letters' records; also the reason in the audit, where no other is given. */
  note?: string;
}

const APPLY_MS = 30_000;
/** Values of one page: a thousand letters of a megabyte each are more than one text has room for. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** When it died, its shard and its number. */
const isPlace = (value: unknown): value is [number, number, number] =>
  Array.isArray(value) &&
  value.length === 3 &&
  value.every(Number.isSafeInteger) &&
  Math.abs(value[1] as number) < 2 ** 31;

export class DeadLetters {
  constructor(
    private readonly buffer: string,
    private readonly connections: Connections,
    private readonly known: () => Promise<void>,
    /** Its shards take them out: refuses where the buffer is stopped. */
    private readonly running: () => Promise<void>,
  ) {}

  /** The oldest first. */
  async list(filter: DeadFilter & { limit?: number; all?: boolean } = {}): Promise<DeadEntry[]> {
    await this.known();
    const values = [...this.filterValues(filter), filter.all ?? false, filter.limit ?? 1_000];
    return (await this.connections.rows<RawEntry>(DEAD_LIST, values)).map(toEntry);
  }

  /** The same in parts, each with some megabytes of values at most. @throws InvalidCursorError */
  async page(filter: DeadFilter & { after?: string; limit?: number; all?: boolean } = {}): Promise<Page<DeadEntry>> {
    const place = placeOf(filter.after, isPlace) ?? [null, null, null];
    await this.known();
    const size = pageSize(filter.limit);
    const values = [...this.filterValues(filter), filter.all ?? false, size, ...place, PAGE_BYTES];
    const rows = await this.connections.rows<RawEntry & { place: number; found: number }>(DEAD_PAGE, values);
    const last = rows.at(-1);
    const isAll = last === undefined || (rows.length === last.found && last.found < size);
    return { items: rows.map(toEntry), next: isAll ? null : cursorOf([last.place, last.shard, last.entry]) };
  }

  async count(filter: DeadFilter = {}): Promise<number> {
    await this.known();
    const [row] = await this.connections.rows<{ count: number }>(DEAD_COUNT, this.filterValues(filter));
    return row!.count;
  }

  /** @throws UnknownLetterError; InvalidEntryError for an id that is not one */
  async show(id: string): Promise<DeadDetails> {
    await this.known();
    const [{ shard, entry }] = readIds([id]) as [{ shard: number; entry: number }];
    const [row] = await this.connections.rows<RawDetails>(DEAD_SHOW, [this.buffer, shard, entry]);
    if (!row) throw new UnknownLetterError(`buffer '${this.buffer}' has no dead letter ${id}`);
    return {
      ...toEntry(row),
      errors: row.errors,
      op: row.op,
      note: row.note,
      changedAt: iso(row.changed_at),
    };
  }

  /** The errors of the newest 10,000, as groups that differ in more than numbers and ids. */
  async byError(): Promise<DeadReport> {
    await this.known();
    return groupDead(this.connections, this.buffer);
  }

  /** Pending again, at the back or the front. A dry run unless `apply` is set. */
  retry(filter: DeadFilter, options: ActOptions & { front?: boolean } = {}): Promise<DeadResult> {
    return this.act('retry', filter, options);
  }

  /** Counted as dropped; the letter stays as a record. A dry run unless `apply` is set. */
  drop(filter: DeadFilter, options: ActOptions = {}): Promise<DeadResult> {
    return this.act('drop', filter, options);
  }

  /**
   * Takes a drop back: the letters are entries again, accepted anew, within half a minute. A dry run unless `apply` is
   * set. @throws BufferStoppedError
   */
  async restore(filter: DeadFilter, options: ActOptions = {}): Promise<DeadResult> {
    await this.known();
    const values = this.filterValues(filter);
    if (!options.apply) return { chosen: await countDropped(this.connections, values), applied: false, op: null };
    await this.running();
    await this.connections.mayWrite();
    const op = randomUUID();
    const command = { what: 'dead restore', subject: `buffer/${this.buffer}`, why: options.why ?? options.note };
    return recorded(this.connections, { ...command, before: askedFor(filter) }, async (db) => {
      const chosen = await restoreDropped(db, this.buffer, values, op, options.note ?? null);
      return { result: { chosen, applied: true, op }, after: { op, chosen }, changed: chosen > 0 };
    });
  }

  private async act(
    action: DeadCommand['action'],
    filter: DeadFilter,
    options: ActOptions & { front?: boolean },
  ): Promise<DeadResult> {
    await this.known();
    if (!options.apply) return { chosen: await this.count(filter), applied: false, op: null };
    await this.running();
    await this.connections.mayWrite();
    const op = randomUUID();
    const command = { what: `dead ${action}`, subject: `buffer/${this.buffer}`, why: options.why ?? options.note };
    const before = askedFor(filter);
    return announced(this.connections, { ...command, before }, () => this.carryOut(op, action, filter, options));
  }

  private async carryOut(
    op: string,
    action: DeadCommand['action'],
    filter: DeadFilter,
    options: ActOptions & { front?: boolean },
  ): Promise<Carried<DeadResult>> {
    const state = action === 'retry' ? 'retrying' : 'dropping';
    const values = [...this.filterValues(filter), op, state, options.note ?? null];
    const chosen = await this.connections.rows<{ shard: number; count: number }>(DEAD_CHOOSE, values);
    const total = chosen.reduce((sum, { count }) => sum + count, 0);
    for (const { shard } of chosen) {
      const command: DeadCommand = { op, action, ...(options.front ? { front: true } : {}) };
      await this.connections.temporal(
        (client) => client.workflow.getHandle(shardWorkflowId(this.buffer, shard)).signal(deadSignal, command),
        { done: () => 'they are chosen but not sent; the same command again takes them along after half a minute' },
      );
    }
    await this.awaitTaken(op, total);
    return { result: { chosen: total, applied: true, op }, after: { op, chosen: total }, changed: total > 0 };
  }

  private async awaitTaken(op: string, total: number): Promise<void> {
    const deadline = Date.now() + APPLY_MS;
    for (;;) {
      const [row] = await this.connections.rows<{ open: number }>(DEAD_OPEN, [this.buffer, op]);
      if (row!.open === 0) return;
      if (Date.now() > deadline) {
        throw new TimedOutError(`${total - row!.open} of ${total} are done so far; the rest follows by itself`);
      }
      await sleep(50);
    }
  }

  private filterValues({ ids, error, group, olderThanMs }: DeadFilter): unknown[] {
    const places = ids && readIds(ids);
    return [
      this.buffer,
      places?.map(({ shard }) => shard) ?? null,
      places?.map(({ entry }) => entry) ?? null,
      error ?? null,
      olderThanMs ?? 0,
      group === undefined ? null : patternOf(group),
    ];
  }
}

/** The filter, as the audit lists it. */
function askedFor({ ids, error, group, olderThanMs }: DeadFilter): Json {
  const asked = { ids: ids?.slice(0, 100), error, group, olderThanMs };
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as Json;
}

function readIds(ids: readonly string[]): { shard: number; entry: number }[] {
  return ids.map((id) => {
    const match = /^(\d{1,6})-(\d{1,15})$/.exec(id);
    if (!match) throw new InvalidEntryError(`'${id}' is not the id of a dead letter; ids look like 0-4711`);
    return { shard: Number(match[1]), entry: Number(match[2]) };
  });
}

interface RawEntry {
  [column: string]: unknown;
  shard: number;
  entry: number;
  value: Json;
  key: string | null;
  error: string;
  attempts: number;
  died_at: number;
  state: DeadEntry['state'];
}

interface RawDetails extends RawEntry {
  errors: EntryError[];
  op: string | null;
  note: string | null;
  changed_at: number;
}

function toEntry(row: RawEntry): DeadEntry {
  const { shard, entry, value, key, error, attempts, state } = row;
  return { id: `${shard}-${entry}`, value, key, error, attempts, state, diedAt: iso(row.died_at) };
}
