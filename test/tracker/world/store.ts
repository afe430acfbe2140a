import { holds, slotOf, slotsOf, sourceOfSplit } from '../../../workflows/tracker/slots';
import type { TrackerRow } from '../../../activities/tracker/store/trackers';
import type { Fed, Member, PoolRow, ValueRow } from './rows';
import { hashId } from '../../../workflows/lib/hash';

const IDLE_MS = 3_000;
const NO_VALUE: ValueRow = {
  value: null,
  etag: null,
  fetchedAt: null,
  expiresAt: null,
  changedAt: null,
  failures: 0,
  failedAt: null,
  heldUntil: null,
  error: null,
};

const NO_WISHES = { drained: false, drained_for: [] as string[], target: null as number | null, weight: 1 };

export const refusal = (code: string): Error => Object.assign(new Error(`of ${code}`), { code });
/** Times are kept to the microsecond. */
const stored = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 1_000) / 1_000);

/** One transaction: its locks, and what nobody else sees of it yet. */
export class Transaction {
  over = false;
  lastWord: number;
  /** Pools that it has locked as theirs, for values. */
  readonly pools = new Set<number>();
  values = new Map<string, ValueRow>();
  fed: Fed[] = [];
  /** Written since the beginning, in order; the savepoint goes back in it. */
  writes: { key: number; operation: string; value: string | null; failure?: { error: string; inARow: number } }[] = [];
  readonly atCommit: (() => void)[] = [];
  private saved: Pick<Transaction, 'values' | 'fed' | 'writes'> | undefined;

  constructor(
    readonly store: Store,
    /** The length of the world's log of results when it began. */
    readonly since: number,
  ) {
    this.lastWord = store.now();
  }

  savepoint(): void {
    this.saved = { values: new Map(this.values), fed: [...this.fed], writes: [...this.writes] };
  }
  rollbackToSavepoint(): void {
    const { values, fed, writes } = this.saved!;
    Object.assign(this, { values: new Map(values), fed: [...fed], writes: [...writes] });
  }
  valueOf(key: number, operation: string): ValueRow | undefined {
    const name = `${key}/${operation}`;
    return this.values.get(name) ?? this.store.values.get(name);
  }
  write(key: number, operation: string, row: ValueRow): void {
    this.values.set(`${key}/${operation}`, row);
  }
}

export class Store {
  readonly pools = new Map<number, PoolRow>();
  readonly members = new Map<string, Member>();
  readonly byKey = new Map<number, Member>();
  readonly values = new Map<string, ValueRow>();
  /** The nodes' rows, and what is wanted of them. */
  readonly nodes = new Map<string, { placement: unknown; at: number }>();
  readonly wishes = new Map<string, Partial<typeof NO_WISHES>>();
  /** A value that no column takes. */
  refuses: (json: string) => boolean = () => false;
  /** The most that one statement may have. */
  slice: { rows: number; bytes: number } | undefined;
  private keys = 0;
  private readonly shared = new Map<number, Set<Transaction>>();
  private readonly exclusive = new Map<number, Transaction>();

  constructor(
    readonly tracker: TrackerRow,
    /** The time that goes by, and the database's clock, which may be off. */
    readonly now: () => number,
    readonly clock: () => number,
  ) {
    for (let pool = 0; pool < tracker.pools; pool++) this.pools.set(pool, newPool());
  }

  poolOf(id: string): number {
    const slot = slotOf(hashId(id));
    for (let pool = 0; ; pool++) if (holds(slotsOf(pool, this.tracker.pools), slot)) return pool;
  }

  // ── Locks ──

  /** Whether the row may be written now: nobody else has it, shared or alone. */
  lockAlone(pool: number, tx: Transaction): boolean {
    const others = [...(this.shared.get(pool) ?? [])].some((other) => other !== tx && this.lives(other));
    const owner = this.exclusive.get(pool);
    if (others || (owner !== undefined && owner !== tx && this.lives(owner))) return false;
    this.exclusive.set(pool, tx);
    return true;
  }

  private lockShared(pool: number, tx: Transaction): boolean {
    const owner = this.exclusive.get(pool);
    if (owner !== undefined && owner !== tx && this.lives(owner)) return false;
    let sharers = this.shared.get(pool);
    if (!sharers) this.shared.set(pool, (sharers = new Set()));
    for (const other of sharers) if (!this.lives(other)) sharers.delete(other);
    sharers.add(tx);
    return true;
  }

  /** The server ends who has not gone on for too long. */
  lives(tx: Transaction): boolean {
    if (!tx.over && this.now() - tx.lastWord > IDLE_MS) tx.over = true;
    return !tx.over;
  }

  commit(tx: Transaction): void {
    for (const effect of tx.atCommit) effect();
    for (const [name, row] of tx.values) this.values.set(name, row);
    tx.over = true;
  }

  // ── The roster, as `roster/apply.ts` and `roster/layout.ts` write it under their locks ──

  /** @param key of a member that is new, where the caller knows it */
  change(id: string, removed: boolean, key?: number): void {
    const pool = this.pools.get(this.poolOf(id))!;
    pool.rosterVersion++;
    // Also of an id that nobody knows a removal is remembered.
    const member = this.members.get(id) ?? {
      key: key ?? ++this.keys,
      id,
      rosterVersion: 0,
      removed: true,
      addedAt: stored(this.clock())!,
    };
    if (!removed && member.removed) member.addedAt = stored(this.clock())!;
    Object.assign(member, { removed, rosterVersion: pool.rosterVersion });
    this.members.set(id, member);
    this.byKey.set(member.key, member);
    if (removed) this.deleteValues(member.key);
  }

  /** Tombstones are forgotten after their time. */
  purge(id: string): void {
    const member = this.members.get(id);
    if (!member?.removed) return;
    this.members.delete(id);
    this.byKey.delete(member.key);
    this.deleteValues(member.key);
  }

  split(): void {
    const made = this.tracker.pools;
    const source = this.pools.get(sourceOfSplit(made))!;
    const pool = this.pools.get(made) ?? newPool();
    source.rosterVersion++;
    pool.rosterVersion = pool.reloadVersion = Math.max(pool.rosterVersion + 1, source.rosterVersion);
    this.pools.set(made, pool);
    this.tracker.pools++;
  }

  private deleteValues(key: number): void {
    for (const name of this.values.keys()) if (name.startsWith(`${key}/`)) this.values.delete(name);
  }

  // ── Statements by their names ──

  run(tx: Transaction, { name, text, values }: { name?: string; text?: string; values: unknown[] }): unknown[] {
    const statement = name ?? text ?? '';
    switch (statement) {
      case 'savepoint rows':
        tx.savepoint();
        return [];
      case 'rollback to savepoint rows':
        tx.rollbackToSavepoint();
        return [];
      case 'release savepoint rows':
      case 'fence-release':
        return [];
      case 'fence-holder-run':
        return [{ run_id: this.pools.get(values[1] as number)?.runId ?? null }];
      case 'fence-take':
        return this.take(tx, values);
      case 'fence-lock':
      case 'fence-look':
        return this.fences(tx, values, statement === 'fence-lock');
      case 'fence-seen':
        return [this.seen(values[1] as number)];
      case 'fence-seen-taken':
        return this.taken(values as [string[], number[], number[]]);
      case 'node-attend':
        return this.attend(tx, values);
      case 'tracker-running':
        return [{ name: this.tracker.name, label: null }];
      case 'node-begin-anew':
      case 'node-purge':
        return [];
      case 'tracker-versions':
        return [{ name: this.tracker.name, version: this.tracker.version, now: this.clock() }];
      case 'tracker-layout':
        return [{ pools: this.tracker.pools }];
      case 'tracker-select':
        return [this.trackerRow()];
      case 'member-select-pool':
      case 'member-select-changed':
        return this.select(values as [string, number, number, number?]);
      case 'value-select-freshness':
        return this.freshness(tx, values[0] as number[]);
      case 'value-write':
        this.writeSuccesses(tx, values);
        return [];
      case 'value-write-and-tell':
        return this.writeSuccesses(tx, values);
      case 'value-write-failure':
        return this.writeFailures(tx, values);
      default:
        throw new Error(`the model does not know the statement ${statement}`);
    }
  }

  private trackerRow(): object {
    const { gateOpen, ...row } = structuredClone(this.tracker);
    return { ...row, changes: {}, gate_open: gateOpen, command: null, routed: false };
  }

  private take(tx: Transaction, values: unknown[]): unknown[] {
    const [, pool, runId, shift, attempt, node, over] = values as [
      string,
      number,
      string,
      number,
      number,
      string,
      string,
    ];
    const row = this.pools.get(pool)!;
    const later = row.shift < shift || (row.shift === shift && row.attempt < attempt);
    const mayTake = row.runId === null || (row.runId === runId ? later : row.runId === over);
    if (!mayTake) return [];
    const token = row.token + 1;
    tx.atCommit.push(() => Object.assign(row, { token, runId, shift, attempt, node, takenAt: this.clock() }));
    return [{ token, roster_version: row.rosterVersion, taken_at: this.clock() }];
  }

  private seen(pool: number): object {
    const { token = 0, node = null } = this.pools.get(pool) ?? {};
    return { members: this.membersOf(pool), token, keeper: node };
  }

  private membersOf(pool: number): number {
    return [...this.members.values()].filter(({ id, removed }) => !removed && this.poolOf(id) === pool).length;
  }

  private taken([trackers, pools, tokens]: [string[], number[], number[]]): unknown[] {
    return trackers.flatMap((tracker, i) => {
      const { token, node, takenAt } = this.pools.get(pools[i]!)!;
      return token === tokens[i] || node === null ? [] : [{ tracker, pool: pools[i], node, taken_at: takenAt }];
    });
  }

  private attend(tx: Transaction, values: unknown[]): unknown[] {
    const [name, , , , , , , , placement] = values as string[];
    const at = this.clock();
    tx.atCommit.push(() => this.nodes.set(name!, { placement: JSON.parse(placement!) as unknown, at }));
    const mine = { now: at, resumed: null, ...NO_WISHES, ...this.wishes.get(name!) };
    const peers = [...this.nodes].filter(([peer, row]) => peer !== name && at - row.at < 60_000);
    if (peers.length === 0) return [{ ...mine, peer: null, placement: null, at: null, event_loop: null }];
    return peers.map(([peer, row]) => ({ ...mine, peer, placement: row.placement, at: row.at, event_loop: 0 }));
  }

  private fences(tx: Transaction, columns: unknown[], lock: boolean): unknown[] {
    const [trackers, pools, tokens, runs, shifts, attempts] = columns as [string[], number[], ...unknown[][]];
    return trackers.flatMap((_tracker, i) => {
      const row = this.pools.get(pools[i]!);
      const own =
        row?.token === tokens![i] &&
        row?.runId === runs![i] &&
        row?.shift === shifts![i] &&
        row?.attempt === attempts![i];
      if (!own || (lock && !this.lockShared(pools[i]!, tx))) return [];
      if (lock) tx.pools.add(pools[i]!);
      if (!lock) return [{ place: i + 1 }];
      const { rosterVersion, reloadVersion } = row!;
      return [{ place: i + 1, roster_version: rosterVersion, reload_version: reloadVersion }];
    });
  }

  private select([, first, last, since]: [string, number, number, number?]): unknown[] {
    const rows = [...this.members.values()].filter(
      (member) =>
        holds({ first, last }, slotOf(hashId(member.id))) &&
        (since === undefined ? !member.removed : member.rosterVersion > since),
    );
    return rows.map(({ key, id, removed, addedAt }) => {
      return { key, id, removed, added_at: addedAt, place: slotOf(hashId(id)) };
    });
  }

  private freshness(tx: Transaction, keys: number[]): unknown[] {
    return keys.flatMap((member) =>
      Object.keys(this.tracker.options.operations).flatMap((operation) => {
        const row = tx.valueOf(member, operation);
        if (!row) return [];
        const { fetchedAt, expiresAt, heldUntil, failedAt, etag, failures, error } = row;
        const times = { fetched_at: fetchedAt, expires_at: expiresAt, held_until: heldUntil, failed_at: failedAt };
        return [{ member, operation, etag, failures, by_hold: error?.startsWith('HoldError:') ?? false, ...times }];
      }),
    );
  }

  private writeSuccesses(tx: Transaction, columns: unknown[]): unknown[] {
    const [keys, operations, jsons, etags, fetched, expires] = columns as [
      number[],
      string[],
      (string | null)[],
      (string | null)[],
      number[],
      (number | null)[],
    ];
    // Text that is not JSON is found when the statement is read, a missing member when it is done.
    if (jsons.some((json) => json !== null && this.refuses(json))) throw refusal('22P02');
    this.mayBeWritten(keys, operations);
    this.inSlices(jsons.map((json, i) => Buffer.byteLength(json ?? '') + Buffer.byteLength(etags[i] ?? '')));
    return keys.flatMap((key, i) => {
      const [operation, json, at] = [operations[i]!, jsons[i]!, stored(fetched[i]!)];
      const before = tx.valueOf(key, operation);
      tx.writes.push({ key, operation, value: json });
      if (before?.fetchedAt === at && (json === null || json === before.value)) return [];
      const same = json === null || json === before?.value;
      const changedAt = same ? (before?.changedAt ?? null) : at;
      const value = same ? (before?.value ?? null) : json;
      tx.write(key, operation, {
        ...NO_VALUE,
        value,
        etag: etags[i]!,
        fetchedAt: at,
        expiresAt: stored(expires[i]!),
        changedAt,
      });
      return [{ member: key, operation, changed: changedAt === at }];
    });
  }

  private mayBeWritten(keys: number[], operations: string[]): void {
    if (new Set(keys.map((key, i) => `${key}/${operations[i]}`)).size < keys.length) throw refusal('21000');
    if (!keys.every((key) => this.byKey.has(key))) throw refusal('23503');
  }

  /** A statement that is larger than it should be is one row. */
  private inSlices(bytes: number[]): void {
    if (!this.slice || bytes.length === 1) return;
    const sum = bytes.reduce((one, other) => one + other, 0);
    if (bytes.length > this.slice.rows || sum > this.slice.bytes)
      throw new TypeError(`a statement has ${bytes.length} rows of ${sum} bytes`);
  }

  private writeFailures(tx: Transaction, columns: unknown[]): unknown[] {
    const [keys, operations, failed, errors, held, inARow] = columns as [
      number[],
      string[],
      number[],
      string[],
      (number | null)[],
      number[],
    ];
    this.mayBeWritten(keys, operations);
    this.inSlices(errors.map((error) => Buffer.byteLength(error)));
    keys.forEach((key, i) => {
      const [operation, error, failures] = [operations[i]!, errors[i]!, inARow[i]!];
      const before = tx.valueOf(key, operation) ?? NO_VALUE;
      tx.writes.push({ key, operation, value: null, failure: { error, inARow: failures } });
      tx.write(key, operation, {
        ...before,
        failedAt: stored(failed[i]!),
        failures,
        error,
        heldUntil: stored(held[i]!),
      });
    });
    return [];
  }
}

function newPool(): PoolRow {
  return { token: 0, runId: null, shift: 0, attempt: 0, rosterVersion: 1, reloadVersion: 0, node: null, takenAt: null };
}
