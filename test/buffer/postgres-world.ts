/**
 * PostgreSQL as a shard's simulated world has it (`shard-world.ts`): what the statements of
 * `activities/buffer/store/chunks.ts` and `dead.ts` do, on maps. It refuses what PostgreSQL would: a store that comes
 * late, a row that cannot be kept.
 */
import type { BatchInput, FoundRows, RefusedRow, StoreRow } from '../../workflows/buffer/activities';
import type { Chunk, LaneName } from '../../workflows/buffer/state';
import { ageOf } from '../../workflows/buffer/keys';
import type { Sized } from './sizes';

interface Row {
  lane: LaneName | null;
  place: number | null;
  due: number | null;
  token: string | null;
  chunk: Omit<Chunk, 'entries' | 'keys'>;
  entries: (Sized | null)[];
  keys: (string | null)[] | null;
}

class FencedStore extends Error {}

export class PostgresWorld {
  readonly rows = new Map<string, Row>();
  /** The newest stored entry of each key. */
  readonly keys = new Map<string, number>();
  readonly dead = new Map<number, { value: Sized | null; key: string | null; state: 'dead' | 'taken' }>();
  private fence = 0;

  /** A sender's row. */
  send(id: string, entries: Sized[], keys: (string | null)[] | null): void {
    if (this.rows.has(id)) return;
    const chunk = { first: 0, count: entries.length, bytes: 0, since: 0 };
    this.rows.set(id, { lane: null, place: null, due: null, token: null, chunk, entries, keys });
  }

  store(rows: StoreRow[], keyed: boolean, moment: number): RefusedRow[] {
    if (moment < this.fence) throw new FencedStore();
    this.fence = moment;
    const refused: RefusedRow[] = [];
    const numbers = new Set(rows.map(({ number }) => number));
    const ids = new Set(rows.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (row.place !== null && numbers.has(row.place) && !ids.has(id)) this.rows.delete(id);
    }
    for (const { id, lane, place, chunk } of rows) {
      const { entries: given, keys: givenKeys, ...rest } = chunk;
      const source = chunk.row === undefined ? undefined : this.rows.get(chunk.row);
      const part = chunk.row !== undefined && chunk.row !== id;
      if (part && !source) {
        refused.push({ id, error: `row ${chunk.row} is gone` });
        continue;
      }
      if (!part && !given && source && source.entries.length !== chunk.count) {
        refused.push({ id, error: 'miscounted', count: source.entries.length });
        continue;
      }
      const from = part ? (chunk.from ?? 0) : 0;
      const cut = <T>(list: T[] | null | undefined): T[] | null => list?.slice(from, from + chunk.count) ?? null;
      const entries = (given as Sized[] | undefined) ?? cut(source?.entries);
      // Adopting a row that is not there changes nothing, and says nothing.
      if (!entries) continue;
      const keys = given ? (givenKeys ?? null) : cut(source?.keys);
      this.rows.set(id, { lane, place, due: chunk.at ?? null, token: null, chunk: rest, entries: [...entries], keys });
      if (!keyed) continue;
      keys?.forEach((key, i) => {
        if (key !== null) this.keys.set(key, Math.max(this.keys.get(key) ?? 0, ageOf(chunk, i)));
      });
    }
    return refused;
  }

  fetch(lane: LaneName, from: number, to: number, dueMs: number, limit: number): FoundRows {
    const all = [...this.rows].filter(([, row]) => row.lane === lane && row.place !== null && row.place <= to);
    if (lane !== 'later') {
      const found = all
        .filter(([, { place }]) => place! >= from)
        .sort(([, a], [, b]) => a.place! - b.place!)
        .slice(0, limit);
      return { chunks: found.map(toChunk), next: (found.at(-1)?.[1].place ?? from - 1) + 1, laterDue: null };
    }
    const token = String(from);
    if (!all.some(([, row]) => row.token === token)) {
      const due = all
        .filter(([, row]) => row.token === null && row.due! <= dueMs)
        .sort(([, a], [, b]) => a.due! - b.due! || a.place! - b.place!);
      for (const [, row] of due.slice(0, limit)) row.token = token;
    }
    const taken = all
      .filter(([, row]) => row.token === token)
      .sort(([, a], [, b]) => a.due! - b.due! || a.place! - b.place!);
    const left = all.filter(([, row]) => row.token === null).map(([, { due }]) => due!);
    return { chunks: taken.map(toChunk), next: from + 1, laterDue: left.length === 0 ? null : Math.min(...left) };
  }

  /** The entries of a batch, those that are stale marked; or the rows that are gone. */
  gather({
    chunks,
    checkKeys,
    forget,
  }: BatchInput): { entries: { value: Sized; stale: boolean }[] } | { gone: string[] } {
    const gone = chunks.flatMap(({ row }) => (row !== undefined && !this.rows.has(row) ? [row] : []));
    for (const id of forget) this.rows.delete(id);
    if (gone.length > 0) return { gone };
    const entries = chunks.flatMap((chunk) => {
      const row = chunk.row === undefined ? undefined : this.rows.get(chunk.row)!;
      const from = chunk.from ?? 0;
      return Array.from({ length: chunk.count }, (_, i) => {
        const value = row ? row.entries[from + i]! : (chunk.entries as unknown as Sized[])[i]!;
        const key = (row ? row.keys?.[from + i] : chunk.keys?.[i]) ?? null;
        const stale = checkKeys && key !== null && (this.keys.get(key) ?? 0) > ageOf(chunk, i);
        return { value, stale };
      });
    });
    return { entries };
  }

  bury(chunks: Chunk[]): void {
    for (const chunk of chunks) {
      const row = chunk.row === undefined ? undefined : this.rows.get(chunk.row);
      const from = chunk.from ?? 0;
      for (let i = 0; i < chunk.count; i++) {
        const number = chunk.first + i;
        if (this.dead.has(number)) continue;
        const value = (chunk.entries ? (chunk.entries as unknown as Sized[])[i] : row?.entries[from + i]) ?? null;
        this.dead.set(number, { value, key: value?.key ?? null, state: 'dead' });
      }
    }
  }

  forget(ids: string[], keysUpTo: number | null): void {
    for (const id of ids) this.rows.delete(id);
    if (keysUpTo === null) return;
    for (const [key, number] of this.keys) if (number <= keysUpTo) this.keys.delete(key);
  }
}

function toChunk([id, { chunk }]: [string, Row]): Chunk & { row: string } {
  const { first, count, bytes, attempts, failed, limit, errors, at, ages } = chunk;
  return { first, count, bytes, row: id, from: 0, since: 0, attempts, failed, limit, errors, at, ages };
}
