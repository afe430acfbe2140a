/**
 * A shard and its store as a simulated world: everything that can be under way overlaps, answers get lost, PostgreSQL
 * goes away, runs are reset. The world draws for itself from a seed; after each step the shard's promises are held
 * against it. It knows the sizes of its entries, not their bytes (`sizes.ts`). Driven by `shard-simulation.test.ts`;
 * what is decided is the code of `workflows/buffer`.
 */
import type { BatchInput, BatchResult, FoundRows, Returned, StoreRow } from '../../workflows/buffer/activities';
import { carriedBytes, marksBytes, slim } from '../../workflows/buffer/carry';
import type { PushMessage } from '../../workflows/buffer/contract';
import { accept, readPush, refusalOf } from '../../workflows/buffer/intake';
import { indexKeys, type KeyIndex } from '../../workflows/buffer/keys';
import type { BufferOptions } from '../../workflows/buffer/options';
import { settle } from '../../workflows/buffer/settle';
import { historyFull, nextShardStep, type ShardMoment } from '../../workflows/buffer/plan';
import { countsOf, freshShardState, LANES, pendingOf, runningOf, waitingOf } from '../../workflows/buffer/queue';
import type { Chunk, LaneName, ShardState } from '../../workflows/buffer/state';
import { bridge } from '../../workflows/buffer/bridge';
import { beginBury, endBury, revive } from '../../workflows/buffer/dead-letters';
import { endFetch } from '../../workflows/buffer/fetch';
import { keysForgotten, keysToForget } from '../../workflows/buffer/key-notes';
import { storeAnswered, storeFailed, storeReached } from '../../workflows/buffer/outage';
import { beginStore, undoStore, endStore } from '../../workflows/buffer/spill';
import { batchInput, moveDue, takeBatch } from '../../workflows/buffer/next-batch';
import { mayOvertake, storeIsThere } from '../../workflows/buffer/outage';
import { Draws } from '../support/draws';
import { PostgresWorld } from './postgres-world';
import { sizedBytes, type Sized } from './sizes';
import type { Json } from '../../workflows/lib/json';
import { OPTIONS } from './world';
import { SHARD_TUNABLES } from '../../workflows/buffer/tunables';

/** Temporal's limits. Bytes. */
const PAYLOAD = 2 * 1024 * 1024;
const TASK = 4 * 1024 * 1024;
const HISTORY = 50 * 1024 * 1024;

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Something that a worker does for the shard: it happens, and is answered, each at a time of its own. */
interface Op {
  what: 'storing' | 'fetching' | 'burying' | 'reviving' | 'reporting' | 'asking' | 'batch';
  /** Undefined: it has not happened yet. */
  result?: { ok: unknown } | { error: 'outage' | 'fenced' | 'lost' };
  act: () => unknown;
  done: (result: never) => void;
  failed: (isOutage: boolean) => void;
}

type Verdict = 'done' | 'again' | 'off' | 'changed';

export interface WorldOptions {
  keyed: boolean;
  options?: Partial<BufferOptions>;
  /** How many keys there are. @default 12 */
  keys?: number;
  /** Rows that go missing. */
  vanishing?: boolean;
}

const BASE: BufferOptions = {
  ...OPTIONS,
  maxBatchSize: 50,
  maxConcurrency: 3,
  timeoutMs: 60_000,
  bound: { entries: 500, bytes: 300_000 },
  retry: { attempts: 3, baseMs: 100, capMs: 5_000 },
  historyEvents: 120,
};

export class ShardWorld {
  state: ShardState;
  index: KeyIndex;
  now = 1_700_000_000_000;
  readonly pg = new PostgresWorld();
  readonly draw: Draws;
  /** PostgreSQL is away until then. */
  outageUntil = 0;
  ops: Op[] = [];
  history = { events: 0, bytes: 0, updates: 0 };
  /** All bytes that ever went into a history: messages, batches, what continue-as-new carried, and the rest. */
  readonly written = { said: 0, batches: 0, carried: 0, rest: 0 };
  /** The longest history of a run. */
  longest = 0;
  private tasks = 0;
  private task = 0;
  private taskBytes = 0;
  private untold = true;
  private unreported = true;
  private lastReportMs = 0;
  runs = 0;
  resets = 0;
  ended = 0;
  // The world's own knowledge.
  readonly accepted = new Map<number, Sized & { lane: LaneName }>();
  readonly handled = new Set<number>();
  /** Rows of theirs went missing. */
  readonly excused = new Set<number>();
  private readonly started = new Map<string, { batch: number; id: number }[]>();
  private readonly revived = new Set<number>();
  private firstTaken: Record<'front' | 'back', number> = { front: 0, back: 0 };
  private readonly taken = new Set<number>();
  private readonly overtaken = new Set<number>();
  private said: { message: PushMessage; how: 'signal' | 'update' }[] = [];
  private snapshot: { state: ShardState; index: KeyIndex; said: number } | undefined;
  private nextId = 1;
  private seq = 0;
  private readonly where = { buffer: 'b', shard: 0 };
  /** How `run` treats them. */
  verdict: (entry: Sized) => Verdict = () => 'done';
  batchFate: () => 'answers' | 'throws' | 'holds' | 'tooLarge' | 'lost' = () => 'answers';

  constructor(
    seed: number,
    readonly of: WorldOptions,
  ) {
    this.draw = new Draws(seed);
    const options = { ...BASE, ...of.options, key: of.keyed ? ('function' as const) : null };
    this.state = freshShardState({ options, paused: false, version: 1 }, null);
    this.index = indexKeys(this.state);
  }

  get isAway(): boolean {
    return this.now < this.outageUntil;
  }

  // ── What comes in ──

  /** Entries of so many bytes each. False: the shard had no room. */
  push(sizes: number[], how: { front?: boolean; at?: number; by?: 'signal' | 'update' | 'row' }): boolean {
    const entries = sizes.map((size): Sized => {
      const id = this.nextId++;
      return { id, size, ...(this.of.keyed ? { key: `k${Math.floor(this.draw.next() * (this.of.keys ?? 12))}` } : {}) };
    });
    const keys = this.of.keyed ? entries.map((entry) => (this.draw.chance(0.05) ? null : entry.key!)) : undefined;
    keys?.forEach((key, i) => key === null && delete entries[i]!.key);
    const rest = {
      sender: 's',
      seq: ++this.seq,
      ...(how.front ? { front: true } : {}),
      ...(how.at === undefined ? {} : { at: how.at }),
    };
    let message: PushMessage;
    if (how.by === 'row') {
      if (this.isAway) return false;
      const id = `s.${this.seq}`;
      this.pg.send(id, entries, keys ?? null);
      // Somebody who types it may miscount.
      const more = this.draw.chance(0.1) ? Math.floor(this.draw.next() * 9) : 0;
      // If he said too few, they have new numbers, by which a key's older entry would be the newer.
      const fewer = !this.of.keyed && entries.length > 1 && this.draw.chance(0.1) ? 1 : 0;
      if (more + fewer > 0) for (const entry of entries) this.overtaken.add(entry.id);
      message = { ...rest, row: { id, count: entries.length + more - fewer }, bytes: sizedBytes(entries) };
    } else {
      message = { ...rest, entries: entries as unknown as Json[], ...(keys ? { keys } : {}) };
    }
    const by = how.by === 'update' ? 'update' : 'signal';
    if (by === 'update' && refusalOf(this.state, [readPush(message)]) !== undefined) return false;
    const lane: LaneName = how.at !== undefined && how.at > this.now ? 'later' : how.front ? 'front' : 'back';
    for (const entry of entries) this.accepted.set(entry.id, { ...entry, lane });
    this.say(message, by);
    // Senders repeat themselves.
    if (this.draw.chance(0.1)) this.say(message, 'signal');
    return true;
  }

  private say(message: PushMessage, how: 'signal' | 'update'): void {
    this.said.push({ message, how });
    if (how === 'update') this.history.updates++;
    this.note(sizedBytes(message) + 300, 2, 'said');
    accept(this.state, this.index, readPush(copy(message)), this.now);
    this.happened();
  }

  private note(bytes: number, events: number, what: 'said' | 'batches' | 'rest' = 'rest'): void {
    this.history.events += events;
    this.history.bytes += bytes;
    this.written[what] += bytes;
    this.longest = Math.max(this.longest, this.history.bytes);
  }

  private happened(): void {
    this.untold = this.unreported = true;
  }

  // ── A task of the workflow ──

  private moment(): ShardMoment {
    const busy = (what: Op['what']): boolean => this.ops.some((op) => op.what === what);
    return {
      nowMs: this.now,
      storing: busy('storing'),
      fetching: busy('fetching'),
      burying: busy('burying'),
      reviving: busy('reviving'),
      reporting: busy('reporting'),
      asking: busy('asking'),
      untold: this.untold,
      unreported: this.unreported,
      lastReportMs: this.lastReportMs,
      tellingRoom: false,
      believed: null,
      morePages: false,
      lastRoomMs: 0,
      restsSinceMs: waitingOf(this.state) > 0 ? null : 0,
      handlersBusy: false,
      historyEvents: this.history.events,
      historyBytes: this.history.bytes,
      updates: this.history.updates,
      suggested: this.history.bytes > 4_000_000,
      taskBytes: this.taskBytes,
      takingBack: false,
    };
  }

  private tell(): number {
    return (this.state.told = Math.max(this.now, (this.state.told ?? 0) + 1 / 1_024));
  }

  /** One task: steps until the shard waits. @returns until when */
  work(): number | undefined {
    this.tasks++;
    if (this.resetAfterTask) this.keep();
    this.task = 0;
    this.taskBytes = 0;
    this.note(300, 3);
    for (let i = 0; i < 3_000; i++) {
      bridge(this.state, this.index, 'b.0');
      moveDue(this.state, this.index, this.now);
      this.noteOvertaken();
      const step = nextShardStep(this.state, this.moment());
      switch (step.do) {
        case 'run':
          this.run();
          break;
        case 'ask':
          this.begin(
            'asking',
            100,
            () => undefined,
            () => storeReached(this.state),
          );
          break;
        case 'store':
          this.store();
          break;
        case 'fetch':
          this.fetch(step.lane);
          break;
        case 'bury': {
          const { chunks, bytes } = beginBury(this.state);
          this.taskBytes += bytes;
          const input = copy(chunks);
          this.begin(
            'burying',
            sizedBytes(chunks),
            () => this.pg.bury(input),
            () => endBury(this.state, chunks.length),
          );
          break;
        }
        case 'revive':
          this.reviveOne();
          break;
        case 'report': {
          this.untold = this.unreported = false;
          this.lastReportMs = this.now;
          const forget = this.state.forget.splice(0, 1_000);
          const upTo = keysToForget(this.state);
          const failed = (): void => {
            this.state.forget.push(...forget);
            this.unreported = true;
          };
          this.begin(
            'reporting',
            sizedBytes(forget) + 800,
            () => this.pg.forget(forget, upTo),
            () => keysForgotten(this.state, upTo),
            failed,
          );
          break;
        }
        case 'tell':
          this.untold = false;
          break;
        case 'slim':
          slim(this.state);
          break;
        case 'takeBack':
          throw new Error('batches were taken back');
        case 'continueAsNew':
          this.continueAsNew();
          break;
        case 'end':
          if (!this.isAway) this.end();
          else storeFailed(this.state, this.now, true);
          break;
        case 'wait':
          if (this.tasks % 10 === 0) this.measure();
          return step.untilMs;
        default:
          throw new Error(`not expected: ${step.do}`);
      }
      this.check();
    }
    throw new Error('it does not come to rest');
  }

  private begin(what: Op['what'], bytes: number, act: () => unknown, done: Op['done'], failed?: () => void): void {
    const size = bytes + 200;
    if (size > PAYLOAD) throw new Error(`${what}: a payload of ${size} bytes`);
    this.task += size;
    if (this.task > TASK) throw new Error(`commands of ${this.task} bytes in one task`);
    this.note(size, 1, what === 'batch' ? 'batches' : 'rest');
    this.ops.push({
      what,
      act,
      done: (result: never) => {
        if (what !== 'batch' && what !== 'asking') storeAnswered(this.state);
        done(result);
      },
      failed: (isOutage) => {
        failed?.();
        if (what !== 'batch') storeFailed(this.state, this.now, isOutage);
      },
    });
  }

  private store(): void {
    const leaving = this.state.stopped === true || historyFull(this.state, this.moment());
    const one = beginStore(this.state, this.index, leaving, 'b.0');
    if (one.rows.length === 0) throw new Error('nothing to store');
    this.taskBytes += one.bytes;
    const rows: StoreRow[] = copy(one.rows);
    const size = sizedBytes(one.rows);
    if (size > one.bytes + 100 * rows.length) throw new Error(`a store of ${size} bytes was taken for ${one.bytes}`);
    const moment = this.tell();
    this.begin(
      'storing',
      size,
      () => this.pg.store(rows, this.of.keyed, moment),
      (refused) => endStore(this.state, one, refused, this.now),
      () => undoStore(this.state, this.index, one, 'b.0'),
    );
  }

  private fetch(lane: LaneName): void {
    const { from, to } = this.state[lane].stored;
    const due = this.now;
    this.begin(
      'fetching',
      200,
      () => copy(this.pg.fetch(lane, from, to, due, SHARD_TUNABLES.fetchRows)),
      (found: FoundRows) => endFetch(this.state, lane, found, to, this.now),
    );
  }

  private reviveOne(): void {
    const order = this.state.deadOrders[0]!;
    const act = () => {
      const letters = [...this.pg.dead]
        .filter(([, { state, value }]) => state === 'dead' && value !== null)
        .slice(0, 3);
      for (const [, letter] of letters) letter.state = 'taken';
      return letters.map(([number, { value, key }]) => ({ number, value: value!, key }));
    };
    type Taken = ReturnType<typeof act>;
    let page: Taken | undefined;
    this.begin(
      'reviving',
      200,
      () => (page ??= act()),
      (taken: Taken) => {
        this.state.deadOrders.shift();
        if (taken.length === 0) return;
        for (const { value } of taken) this.revived.add(value.id);
        const entries = taken.map(({ value }) => value) as unknown as Json[];
        const keyed = this.of.keyed
          ? { keys: taken.map(({ key }) => key), ages: taken.map(({ number }) => number) }
          : {};
        revive(this.state, this.index, { count: taken.length, bytes: 0, entries, ...keyed }, order);
      },
    );
  }

  // ── Batches ──

  private run(): void {
    const { number, batch, bytes } = takeBatch(this.state, this.index, this.now);
    this.taskBytes += bytes;
    if (batch.count === 0) throw new Error('an empty batch');
    this.noteOrder(batch.chunks);
    const input = batchInput(this.state, this.where, number);
    const given = copy(input);
    const size = sizedBytes(input);
    if (size > bytes + 2_000 + 130 * input.chunks.length)
      throw new Error(`a batch of ${size} bytes was taken for ${bytes}`);
    this.begin(
      'batch',
      size,
      () => this.outcome(given),
      (outcome: BatchResult['outcome']) => settle(this.state, this.index, number, outcome, this.now),
      () =>
        settle(
          this.state,
          this.index,
          number,
          { kind: 'failed', error: 'lost', tooLarge: false, final: false },
          this.now,
        ),
    );
  }

  /** A worker's answer to it; made now and not when it was begun, since the world may have changed. */
  private outcome(input: BatchInput): BatchResult['outcome'] {
    const needs = input.checkKeys || input.chunks.some(({ row }) => row !== undefined);
    const held = { kind: 'held', error: 'PostgreSQL does not answer', forMs: 1_000, store: true } as const;
    if (this.isAway && needs) return held;
    const gathered = this.pg.gather({ ...input, forget: this.isAway ? [] : input.forget });
    if ('gone' in gathered) return { kind: 'gone', error: 'gone', rows: gathered.gone };
    const live = gathered.entries.flatMap(({ value, stale }, at) => (stale ? [] : [{ value, at }]));
    for (const { value } of live) this.starts(input.batch, value);
    const fate = this.batchFate();
    if (fate === 'throws') return { kind: 'failed', error: 'poison', tooLarge: false, final: false };
    if (fate === 'tooLarge') return { kind: 'failed', error: '413', tooLarge: true, final: false };
    if (fate === 'holds') return { kind: 'held', error: '429', forMs: 300 };
    const kept: Returned[] = [];
    const stays = this.of.keyed && input.chunks.some(({ row }) => row !== undefined);
    let room = 128 * 1024;
    for (const { value, at } of live) {
      const what = this.verdict(value);
      if (what === 'done') this.handled.add(value.id);
      if (what === 'again') kept.push({ from: at, count: 1 });
      if (what === 'off') kept.push({ from: at, count: 1, at: this.now + 2_000 });
      if (what !== 'changed') continue;
      const changed = { ...value, changed: (value.changed ?? 0) + 1, size: value.size + 3 };
      const keys = this.of.keyed ? { keys: [value.key ?? null] } : {};
      if (changed.size > room || stays) {
        if (this.isAway) return held;
        const row = `r.${input.batch}.${value.id}.${changed.changed}`;
        this.pg.send(row, [changed], this.of.keyed ? [value.key ?? null] : null);
        kept.push({ from: at, count: 1, at: this.now + 500, row, bytes: changed.size });
      } else {
        room -= changed.size;
        kept.push({
          from: at,
          count: 1,
          at: this.now + 500,
          entries: [changed],
          bytes: changed.size,
          ...keys,
        });
      }
    }
    const forgot = this.isAway && input.forget.length > 0 ? { forgot: false as const } : {};
    return { kind: 'answered', kept, fresh: [], voided: input.count - live.length, ...forgot };
  }

  /**
   * Newest wins: no batch has an entry of a key of which one before it had a newer one. Batches that run at once end in
   * any order.
   */
  private starts(batch: number, { id, key }: Sized): void {
    if (key === undefined || this.revived.has(id)) return;
    const before = this.started.get(key) ?? [];
    for (const other of before) {
      const [first, second] = other.batch < batch ? [other.id, id] : [id, other.id];
      if (first > second && other.batch !== batch) throw new Error(`entry ${second} of ${key} began after ${first}`);
    }
    this.started.set(key, [...before, { batch, id }]);
  }

  /** While PostgreSQL is away, what lies there or is on its way there does not keep the rest from running. */
  private noteOvertaken(): void {
    if (storeIsThere(this.state) || !mayOvertake(this.state) || this.of.keyed) return;
    for (const { entries } of this.pg.rows.values())
      for (const entry of entries) if (entry) this.overtaken.add(entry.id);
    for (const lane of LANES) {
      for (const { entries, storing: isOut, place } of [...this.state[lane].chunks, ...this.state[lane].overflow]) {
        if (isOut || place !== undefined)
          for (const entry of (entries ?? []) as unknown as Sized[]) this.overtaken.add(entry.id);
      }
    }
  }

  /** Entries that have never failed begin in the order of their coming, within their lane. */
  private noteOrder(chunks: Chunk[]): void {
    if (this.of.keyed) return;
    for (const chunk of chunks) {
      const row = chunk.row === undefined ? undefined : this.pg.rows.get(chunk.row);
      const from = chunk.from ?? 0;
      const values =
        (chunk.entries as unknown as Sized[] | undefined) ?? row?.entries.slice(from, from + chunk.count) ?? [];
      for (const value of values) {
        if (!value || this.taken.has(value.id) || this.revived.has(value.id)) continue;
        this.taken.add(value.id);
        const lane = this.accepted.get(value.id)!.lane;
        if (lane === 'later' || this.overtaken.has(value.id)) continue;
        if (value.id < this.firstTaken[lane])
          throw new Error(`${lane}: entry ${value.id} after ${this.firstTaken[lane]}`);
        this.firstTaken[lane] = value.id;
      }
    }
  }

  // ── What workers and the server do ──

  /** The work of an operation is done, or fails; its answer is on the way. */
  happen(op: Op, answerLost: boolean): void {
    if (op.result) return;
    if (this.isAway && op.what !== 'batch') {
      op.result = { error: 'outage' };
      return;
    }
    if (op.what === 'batch' && this.batchFate() === 'lost') {
      op.result = { error: 'lost' };
      return;
    }
    try {
      const ok = op.act();
      op.result = answerLost ? { error: op.what === 'batch' ? 'lost' : 'outage' } : { ok };
    } catch (error) {
      if ((error as Error).constructor.name !== 'FencedStore') throw error;
      op.result = { error: 'fenced' };
    }
  }

  answer(op: Op): void {
    this.ops = this.ops.filter((one) => one !== op);
    const { result } = op;
    const size = result && 'ok' in result ? sizedBytes(result.ok) : 1_500;
    if (size > PAYLOAD) throw new Error(`${op.what}: a result of ${size} bytes`);
    this.note(size + 400, 2, op.what === 'batch' ? 'batches' : 'rest');
    if (result && 'ok' in result) op.done(copy(result.ok ?? null) as never);
    else op.failed(result?.error === 'outage');
    this.happened();
    this.check();
    this.work();
  }

  private continueAsNew(): void {
    this.measure();
    const bytes = sizedBytes(this.state);
    const believed = carriedBytes(this.state) + marksBytes(this.state);
    if (bytes > believed) throw new Error(`${bytes} bytes are carried, ${believed} were counted`);
    if (bytes > PAYLOAD) throw new Error(`continue-as-new with ${bytes} bytes`);
    if (this.ops.length > 0) throw new Error('something is under way');
    this.state = copy({ ...this.state, runs: this.state.runs + 1 });
    this.fresh(bytes);
    this.runs++;
  }

  private fresh(bytes: number): void {
    this.index = indexKeys(this.state);
    this.history = { events: 0, bytes, updates: 0 };
    this.written.carried += bytes;
    this.said = [];
    if (this.snapshot) this.keep();
    this.untold = this.unreported = true;
  }

  /** Stopped: all is kept, and a start goes on from it. */
  private end(): void {
    for (const lane of LANES) {
      const left = [...this.state[lane].chunks, ...this.state[lane].overflow].filter(({ entries }) => entries);
      if (left.length > 0) throw new Error('it ends with entries in its memory');
    }
    this.state = copy({ ...this.state, stopped: false, runs: this.state.runs + 1 });
    this.fresh(sizedBytes(this.state));
    this.ended++;
  }

  /** Notes the state that a reset goes back to. */
  private keep(): void {
    this.snapshot = { state: copy(this.state), index: copyIndex(this.index), said: this.said.length };
  }

  /** The next task is the last one before the run is terminated. */
  resetAfterTask = false;

  get isTerminated(): boolean {
    return this.snapshot !== undefined;
  }

  /**
   * Terminated: the server makes a new run from its last task, with the signals after it; what updates brought is told
   * again.
   */
  reset(): void {
    const { snapshot } = this;
    if (!snapshot) return;
    this.snapshot = undefined;
    this.resetAfterTask = false;
    const zombies = this.ops;
    this.ops = [];
    const again = this.said.splice(snapshot.said);
    this.state = copy(snapshot.state);
    this.index = copyIndex(snapshot.index);
    this.started.clear();
    this.firstTaken = { front: 0, back: 0 };
    this.resets++;
    // Whatever it had under way runs on at its worker, and tells nobody.
    for (const op of zombies) if (this.draw.chance(0.5)) this.happen(op, true);
    for (const number of Object.keys(this.state.running)) {
      settle(
        this.state,
        this.index,
        Number(number),
        { kind: 'failed', error: 'reset', tooLarge: false, final: false },
        this.now,
      );
    }
    for (const name of LANES) {
      for (const chunk of [...this.state[name].chunks, ...this.state[name].overflow]) delete chunk.storing;
    }
    for (const { message, how } of again) {
      if (how === 'update' && message.entries) {
        const id = `${message.sender!}.again.${message.seq!}`;
        const { entries, keys, ...rest } = message;
        this.pg.send(id, entries as unknown as Sized[], keys ?? null);
        this.say({ ...rest, row: { id, count: entries.length }, bytes: sizedBytes(entries) }, 'signal');
      } else {
        this.say(message, 'signal');
      }
    }
    this.work();
  }

  // ── The promises ──

  check(): void {
    const { accepted, done, pending, running, dead, merged, dropped } = countsOf(this.state);
    if (accepted !== done + pending + running + dead + merged + dropped) {
      throw new Error(`the counts do not add up: ${JSON.stringify(countsOf(this.state))}`);
    }
    for (const lane of LANES) {
      const { entries } = this.state[lane].stored;
      if (entries < 0) throw new Error(`${entries} stored entries`);
    }
    if (this.history.bytes > HISTORY) throw new Error(`a history of ${this.history.bytes} bytes`);
    if (this.history.updates > 2_000) throw new Error('more updates than the server takes');
  }

  /** Every chunk weighs what it says. */
  private measure(): void {
    for (const lane of LANES) {
      for (const { entries, count, bytes } of [...this.state[lane].chunks, ...this.state[lane].overflow]) {
        if (!entries) continue;
        if (entries.length !== count) throw new Error(`a chunk of ${entries.length} entries says ${count}`);
        if (sizedBytes(entries) !== bytes) throw new Error(`a chunk of ${sizedBytes(entries)} bytes says ${bytes}`);
      }
    }
  }

  /** Everything comes to its end. */
  drain(): void {
    this.outageUntil = 0;
    this.state.paused = false;
    this.state.shrunk = false;
    this.verdict = () => 'done';
    this.batchFate = () => 'answers';
    for (let i = 0; i < 20_000; i++) {
      const [op] = this.ops;
      if (op) {
        this.happen(op, false);
        this.answer(op);
        continue;
      }
      const until = this.work();
      if (this.ops.length > 0) continue;
      if (pendingOf(this.state) + runningOf(this.state) === 0 && this.state.deadOrders.length === 0) return;
      if (until === undefined) throw new Error(`it waits for nothing: ${JSON.stringify(countsOf(this.state))}`);
      this.now = Math.max(this.now + 1, until);
    }
    throw new Error('it does not drain');
  }

  /** Each accepted entry is done, dead, or merged by a newer one; the newest of each key is not merged. */
  census(): void {
    const dead = new Set([...this.pg.dead.values()].flatMap(({ value }) => (value ? [value.id] : [])));
    const newest = new Map<string, number>();
    for (const { id, key } of this.accepted.values()) {
      if (key !== undefined) newest.set(key, Math.max(newest.get(key) ?? 0, id));
    }
    for (const { id, key } of this.accepted.values()) {
      if (this.handled.has(id) || dead.has(id) || this.excused.has(id)) continue;
      if (key === undefined || newest.get(key) === id) throw new Error(`entry ${id}${key ? ` of ${key}` : ''} is lost`);
    }
    if (this.excused.size === 0 && [...this.pg.dead.values()].some(({ value }) => value === null)) {
      throw new Error('an entry was taken for lost');
    }
  }

  /** A row that entries lie in goes missing. */
  vanish(): void {
    const rows = [...this.pg.rows].filter(([, { lane }]) => lane !== null);
    const one = this.draw.one(rows);
    if (!one) return;
    for (const entry of one[1].entries) if (entry) this.excused.add(entry.id);
    this.pg.rows.delete(one[0]);
  }
}

function copyIndex({ pending, running }: KeyIndex): KeyIndex {
  return {
    pending: new Map(pending),
    running: new Map([...running].map(([key, { count, newest }]) => [key, { count, newest }])),
  };
}
