/**
 * A shard that a test drives by hand, with no Temporal and no PostgreSQL: one thing at a time. `shard-world.ts` has the
 * one in which everything overlaps.
 */
import type { BatchResult, Returned, StoreRow } from '../../workflows/buffer/activities';
import type { Chunk, ShardState } from '../../workflows/buffer/state';
import { carriedBytes } from '../../workflows/buffer/carry';
import { accept } from '../../workflows/buffer/intake';
import { indexKeys, type KeyIndex } from '../../workflows/buffer/keys';
import type { BufferOptions } from '../../workflows/buffer/options';
import { settle } from '../../workflows/buffer/settle';
import { nextShardStep, type ShardMoment } from '../../workflows/buffer/plan';
import { countsOf, freshShardState, pendingOf, runningOf, waitingOf } from '../../workflows/buffer/queue';
import { beginStore, undoStore, endStore } from '../../workflows/buffer/spill';
import { beginBury, endBury } from '../../workflows/buffer/dead-letters';
import { endFetch } from '../../workflows/buffer/fetch';
import { bridge } from '../../workflows/buffer/bridge';
import { storeAnswered, storeFailed, storeReached } from '../../workflows/buffer/outage';
import { batchInput, moveDue, takeBatch } from '../../workflows/buffer/next-batch';
import type { Json } from '../../workflows/lib/json';
import { SHARD_TUNABLES } from '../../workflows/buffer/tunables';

interface Row {
  lane: string;
  place: number | null;
  chunk: Chunk;
  entries: Json[];
  keys: (string | null)[] | undefined;
  token?: number;
}

/** The world around a shard: PostgreSQL, the handlers, and Temporal, which carries its state. */
export class DrivenShard {
  state: ShardState;
  index: KeyIndex;
  now = 1_000;
  events = 0;
  untold = true;
  unreported = true;
  lastReportMs = 0;
  lastRoomMs = 0;
  believed: number | null = null;
  rows = new Map<string, Row>();
  dead = new Map<number, Json>();
  handled: Json[] = [];
  /** The newest stored entry of each key. */
  keys = new Map<string, number>();
  runs = 0;

  constructor(readonly options: BufferOptions) {
    this.state = freshShardState({ options, paused: false, version: 1 }, null);
    this.index = indexKeys(this.state);
  }

  push(entries: Json[], extra: object = {}): void {
    const keys = this.options.key ? { keys: entries.map((entry) => JSON.stringify(entry)) } : {};
    accept(this.state, this.index, { entries, bytes: entries.length * 8, ...keys, ...extra }, this.now);
    this.events++;
    this.happened();
    this.check();
  }

  private happened(): void {
    this.untold = this.unreported = true;
  }

  check(): void {
    const { accepted, done, pending, running, dead, merged, dropped } = countsOf(this.state);
    expect(accepted).toBe(done + pending + running + dead + merged + dropped);
    for (const lane of [this.state.front, this.state.back, this.state.later]) {
      expect(lane.stored.entries).toBeGreaterThanOrEqual(0);
    }
    expect(dead).toBeGreaterThanOrEqual(0);
  }

  moment(): ShardMoment {
    return {
      nowMs: this.now,
      storing: false,
      fetching: false,
      burying: false,
      reviving: false,
      reporting: false,
      asking: false,
      updates: 0,
      suggested: false,
      taskBytes: 0,
      untold: this.untold,
      unreported: this.unreported,
      lastReportMs: this.lastReportMs,
      tellingRoom: false,
      believed: this.believed,
      morePages: true,
      lastRoomMs: this.lastRoomMs,
      restsSinceMs: null,
      handlersBusy: false,
      historyEvents: this.events,
      historyBytes: 0,
      takingBack: false,
    };
  }

  /** Carries out steps until the shard waits; batches stay running until `end` ends them. */
  work(storeFails: boolean): number | undefined {
    for (let i = 0; i < 10_000; i++) {
      bridge(this.state, this.index, 'b.0');
      moveDue(this.state, this.index, this.now);
      const step = nextShardStep(this.state, this.moment());
      this.events++;
      switch (step.do) {
        case 'run': {
          const { number } = takeBatch(this.state, this.index, this.now);
          // Only a copy goes through Temporal.
          JSON.parse(JSON.stringify(batchInput(this.state, { buffer: 'b', shard: 0 }, number)));
          break;
        }
        case 'store': {
          const storing = beginStore(this.state, this.index, this.events >= this.options.historyEvents, 'b.0');
          if (storing.rows.length === 0) throw new Error('nothing to store');
          if (storeFails) {
            undoStore(this.state, this.index, storing, 'b.0');
            storeFailed(this.state, this.now, true);
          } else {
            this.write(storing.rows);
            storeAnswered(this.state);
            endStore(this.state, storing, [], this.now);
          }
          break;
        }
        case 'ask':
          if (storeFails) storeFailed(this.state, this.now, true);
          else storeReached(this.state);
          break;
        case 'fetch': {
          const { from, to } = this.state[step.lane].stored;
          endFetch(this.state, step.lane, this.fetch(step.lane, from, to), to, this.now);
          storeAnswered(this.state);
          break;
        }
        case 'bury': {
          const { chunks } = beginBury(this.state);
          for (const chunk of chunks) {
            this.entriesOf(chunk).forEach((entry, k) => this.dead.set(chunk.first + k, entry));
          }
          endBury(this.state, chunks.length);
          storeAnswered(this.state);
          break;
        }
        case 'tell':
          this.untold = false;
          break;
        case 'tellRoom':
          this.lastRoomMs = this.now;
          this.believed = waitingOf(this.state);
          break;
        case 'report':
          this.untold = this.unreported = false;
          this.lastReportMs = this.now;
          storeAnswered(this.state);
          for (const id of this.state.forget.splice(0)) this.rows.delete(id);
          break;
        case 'continueAsNew':
          expect(carriedBytes(this.state)).toBeLessThanOrEqual(SHARD_TUNABLES.carryBytes);
          this.state = JSON.parse(JSON.stringify({ ...this.state, runs: this.state.runs + 1 })) as ShardState;
          this.index = indexKeys(this.state);
          this.events = 0;
          this.runs++;
          break;
        case 'wait':
          return step.untilMs;
        default:
          throw new Error(`not expected: ${step.do}`);
      }
      this.check();
    }
    throw new Error('it does not come to rest');
  }

  write(rows: StoreRow[]): void {
    for (const { id, lane, place, chunk } of rows) {
      const before = this.rows.get(id);
      if (before && chunk.entries) continue;
      const entries = chunk.entries ?? before!.entries;
      this.rows.set(id, { lane, place, chunk: { ...chunk }, entries: [...entries], keys: chunk.keys ?? before?.keys });
      (chunk.keys ?? before?.keys)?.forEach((key, i) => {
        if (key !== null) this.keys.set(key, Math.max(this.keys.get(key) ?? 0, chunk.first + i));
      });
    }
  }

  fetch(lane: string, from: number, to: number) {
    const later = lane === 'later';
    const found = [...this.rows.entries()]
      .filter(([, row]) => row.lane === lane && row.place !== null && row.place <= to)
      .filter(([, row]) => (later ? row.token === undefined && row.chunk.at! <= this.now : row.place! >= from))
      .sort(([, a], [, b]) => (later ? a.chunk.at! - b.chunk.at! : 0) || a.place! - b.place!)
      .slice(0, SHARD_TUNABLES.fetchRows);
    for (const [, row] of found) if (later) row.token = from;
    const dues = [...this.rows.values()].filter(
      (row) => row.lane === 'later' && row.place !== null && row.token === undefined,
    );
    return {
      chunks: found.map(([id, { chunk }]) => {
        const { first, count, bytes, attempts, failed, limit, errors, at } = chunk;
        return { first, count, bytes, attempts, failed, limit, errors, at, since: 0, row: id, from: 0 };
      }),
      next: later ? from + 1 : (found.at(-1)?.[1].place ?? from - 1) + 1,
      laterDue: dues.length === 0 ? null : Math.min(...dues.map((row) => row.chunk.at!)),
    };
  }

  entriesOf(chunk: Chunk): Json[] {
    if (chunk.entries) return chunk.entries;
    const row = this.rows.get(chunk.row!);
    if (!row) throw new Error(`row ${chunk.row} is gone`);
    return row.entries.slice(chunk.from ?? 0, (chunk.from ?? 0) + chunk.count);
  }

  keysOf(chunk: Chunk): (string | null)[] | undefined {
    if (chunk.entries) return chunk.keys;
    return this.rows.get(chunk.row!)!.keys?.slice(chunk.from ?? 0, (chunk.from ?? 0) + chunk.count);
  }

  /** Ends the oldest running batch in some way. `verdict` says what happens to each entry. */
  end(
    how: 'answer' | 'crash' | 'held' | 'tooLarge',
    verdict: (entry: Json) => 'done' | 'again' | 'off' | 'poison',
  ): void {
    const number = Object.keys(this.state.running)[0];
    if (number === undefined) return;
    const batch = this.state.running[number]!;
    expect(batch.count).toBeLessThanOrEqual(this.options.maxBatchSize);
    const entries = batch.chunks.flatMap((chunk) => this.entriesOf(chunk));
    const numbers = batch.chunks.flatMap((chunk) => Array.from({ length: chunk.count }, (_, i) => chunk.first + i));
    const keys = batch.chunks.flatMap((chunk) => this.keysOf(chunk) ?? Array<null>(chunk.count).fill(null));
    expect(entries).toHaveLength(batch.count);
    let outcome: BatchResult['outcome'];
    if (how === 'crash') outcome = { kind: 'failed', error: 'crash', tooLarge: false, final: false };
    else if (how === 'tooLarge') outcome = { kind: 'failed', error: '413', tooLarge: true, final: false };
    else if (how === 'held') outcome = { kind: 'held', error: '429', forMs: 20 };
    else {
      const live = entries.map((_, i) => keys[i] === null || (this.keys.get(keys[i]!) ?? 0) <= numbers[i]!);
      if (entries.some((entry, i) => live[i] && verdict(entry) === 'poison')) {
        outcome = { kind: 'failed', error: 'poison', tooLarge: false, final: false };
      } else {
        const kept: Returned[] = [];
        entries.forEach((entry, i) => {
          const what = live[i] ? verdict(entry) : 'void';
          if (what === 'done') this.handled.push(entry);
          if (what === 'again') kept.push({ from: i, count: 1 });
          if (what === 'off') kept.push({ from: i, count: 1, at: this.now + 30 });
        });
        outcome = { kind: 'answered', kept, fresh: [], voided: live.filter((one) => !one).length };
      }
    }
    settle(this.state, this.index, Number(number), outcome, this.now);
    // A result that comes twice counts once.
    settle(this.state, this.index, Number(number), outcome, this.now);
    this.happened();
    this.check();
  }

  /** Lets everything come to its end. */
  drain(verdict: (entry: Json) => 'done' | 'poison'): void {
    for (let i = 0; i < 5_000; i++) {
      const until = this.work(false);
      if (runningOf(this.state) > 0) this.end('answer', verdict);
      else if (pendingOf(this.state) === 0) return;
      else if (until === undefined) throw new Error('it waits for nothing');
      else this.now = Math.max(this.now + 1, until);
    }
    throw new Error('it does not drain');
  }
}
