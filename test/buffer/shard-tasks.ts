/**
 * The workflow's side of a shard's simulated world: its tasks, step by step, as `workflows/buffer` decides them, and
 * the operations that they begin. `shard-world.ts` adds the senders, the workers and the server.
 */
import type { BatchInput, BatchResult, FoundRows, StoreRow } from '../../workflows/buffer/activities';
import { slim } from '../../workflows/buffer/carry';
import { indexKeys, type KeyIndex } from '../../workflows/buffer/keys';
import type { BufferOptions } from '../../workflows/buffer/options';
import { settle } from '../../workflows/buffer/settle';
import { historyFull, nextShardStep, type ShardMoment } from '../../workflows/buffer/plan';
import { freshShardState, waitingOf } from '../../workflows/buffer/queue';
import type { LaneName, ShardState } from '../../workflows/buffer/state';
import { bridge } from '../../workflows/buffer/bridge';
import { beginBury, endBury, revive } from '../../workflows/buffer/dead-letters';
import { endFetch } from '../../workflows/buffer/fetch';
import { keysForgotten, keysToForget } from '../../workflows/buffer/key-notes';
import { storeAnswered, storeFailed, storeReached } from '../../workflows/buffer/outage';
import { beginStore, undoStore, endStore } from '../../workflows/buffer/spill';
import { batchInput, moveDue, takeBatch } from '../../workflows/buffer/next-batch';
import { Draws } from '../support/draws';
import { ShardPromises } from './shard-promises';
import { PostgresWorld } from './postgres-world';
import { sizedBytes } from './sizes';
import type { Json } from '../../workflows/lib/json';
import { OPTIONS } from './options';
import { SHARD_TUNABLES } from '../../workflows/buffer/tunables';

/** Temporal's limits. Bytes. */
export const PAYLOAD = 2 * 1024 * 1024;
const TASK = 4 * 1024 * 1024;

export const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Something that a worker does for the shard: it happens, and is answered, each at a time of its own. */
export interface Op {
  what: 'storing' | 'fetching' | 'burying' | 'reviving' | 'reporting' | 'asking' | 'batch';
  /** Undefined: it has not happened yet. */
  result?: { ok: unknown } | { error: 'outage' | 'fenced' | 'lost' };
  act: () => unknown;
  done: (result: never) => void;
  failed: (isOutage: boolean) => void;
}

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

export abstract class ShardTasks {
  state: ShardState;
  index: KeyIndex;
  now = 1_700_000_000_000;
  readonly pg = new PostgresWorld();
  readonly draw: Draws;
  readonly promises: ShardPromises;
  /** PostgreSQL is away until then. */
  outageUntil = 0;
  ops: Op[] = [];
  history = { events: 0, bytes: 0, updates: 0 };
  /** All bytes that ever went into a history: messages, batches, what continue-as-new carried, and the rest. */
  readonly written = { said: 0, batches: 0, carried: 0, rest: 0 };
  /** The longest history of a run. */
  longest = 0;
  /** The next task is the last one before the run is terminated. */
  resetAfterTask = false;
  protected untold = true;
  protected unreported = true;
  private lastReportMs = 0;
  private tasks = 0;
  private task = 0;
  private taskBytes = 0;
  private readonly where = { buffer: 'b', shard: 0 };

  constructor(
    seed: number,
    readonly of: WorldOptions,
  ) {
    this.draw = new Draws(seed);
    this.promises = new ShardPromises(this.pg, of.keyed);
    const options = { ...BASE, ...of.options, key: of.keyed ? ('function' as const) : null };
    this.state = freshShardState({ options, paused: false, version: 1 }, null);
    this.index = indexKeys(this.state);
  }

  /** A worker's answer to a batch. */
  protected abstract outcome(input: BatchInput): BatchResult['outcome'];
  protected abstract continueAsNew(): void;
  protected abstract end(): void;
  /** Notes the state that a reset goes back to. */
  protected abstract keep(): void;

  get isAway(): boolean {
    return this.now < this.outageUntil;
  }

  protected note(bytes: number, events: number, what: 'said' | 'batches' | 'rest' = 'rest'): void {
    this.history.events += events;
    this.history.bytes += bytes;
    this.written[what] += bytes;
    this.longest = Math.max(this.longest, this.history.bytes);
  }

  protected happened(): void {
    this.untold = this.unreported = true;
  }

  check(): void {
    this.promises.check(this.state, this.history);
  }

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
      this.promises.noteOvertaken(this.state);
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
          if (this.tasks % 10 === 0) this.promises.measure(this.state);
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
        for (const { value } of taken) this.promises.revived.add(value.id);
        const entries = taken.map(({ value }) => value) as unknown as Json[];
        const keyed = this.of.keyed
          ? { keys: taken.map(({ key }) => key), ages: taken.map(({ number }) => number) }
          : {};
        revive(this.state, this.index, { count: taken.length, bytes: 0, entries, ...keyed }, order);
      },
    );
  }

  private run(): void {
    const { number, batch, bytes } = takeBatch(this.state, this.index, this.now);
    this.taskBytes += bytes;
    if (batch.count === 0) throw new Error('an empty batch');
    this.promises.noteOrder(batch.chunks);
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
}
