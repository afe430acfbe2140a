/**
 * A shard and its store as a simulated world: everything that can be under way overlaps, answers get lost, PostgreSQL
 * goes away, runs are reset. The world draws for itself from a seed; after each step the shard's promises are held
 * against it (`shard-promises.ts`). It knows the sizes of its entries, not their bytes (`sizes.ts`). Here are the
 * senders, the workers and the server; `shard-tasks.ts` has the tasks of the workflow, which `workflows/buffer`
 * decides. Driven by `shard-simulation.test.ts`.
 */
import type { BatchInput, BatchResult, Returned } from '../../workflows/buffer/activities';
import { carriedBytes, marksBytes } from '../../workflows/buffer/carry';
import type { PushMessage } from '../../workflows/buffer/contract';
import { accept, readPush, refusalOf } from '../../workflows/buffer/intake';
import { indexKeys, type KeyIndex } from '../../workflows/buffer/keys';
import { settle } from '../../workflows/buffer/settle';
import { countsOf, LANES, pendingOf, runningOf } from '../../workflows/buffer/queue';
import type { LaneName, ShardState } from '../../workflows/buffer/state';
import { sizedBytes, type Sized } from './sizes';
import type { Json } from '../../workflows/lib/json';
import { copy, PAYLOAD, ShardTasks, type Op } from './shard-tasks';

type Verdict = 'done' | 'again' | 'off' | 'changed';

export class ShardWorld extends ShardTasks {
  runs = 0;
  resets = 0;
  ended = 0;
  private said: { message: PushMessage; how: 'signal' | 'update' }[] = [];
  private snapshot: { state: ShardState; index: KeyIndex; said: number } | undefined;
  private nextId = 1;
  private seq = 0;
  /** How `run` treats them. */
  verdict: (entry: Sized) => Verdict = () => 'done';
  batchFate: () => 'answers' | 'throws' | 'holds' | 'tooLarge' | 'lost' = () => 'answers';

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
      if (more + fewer > 0) for (const entry of entries) this.promises.overtaken.add(entry.id);
      message = { ...rest, row: { id, count: entries.length + more - fewer }, bytes: sizedBytes(entries) };
    } else {
      message = { ...rest, entries: entries as unknown as Json[], ...(keys ? { keys } : {}) };
    }
    const by = how.by === 'update' ? 'update' : 'signal';
    if (by === 'update' && refusalOf(this.state, [readPush(message)]) !== undefined) return false;
    const lane: LaneName = how.at !== undefined && how.at > this.now ? 'later' : how.front ? 'front' : 'back';
    for (const entry of entries) this.promises.accepted.set(entry.id, { ...entry, lane });
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

  // ── Batches ──

  /** A worker's answer to it; made now and not when it was begun, since the world may have changed. */
  protected override outcome(input: BatchInput): BatchResult['outcome'] {
    const needs = input.checkKeys || input.chunks.some(({ row }) => row !== undefined);
    const held = { kind: 'held', error: 'PostgreSQL does not answer', forMs: 1_000, store: true } as const;
    if (this.isAway && needs) return held;
    const gathered = this.pg.gather({ ...input, forget: this.isAway ? [] : input.forget });
    if ('gone' in gathered) return { kind: 'gone', error: 'gone', rows: gathered.gone };
    const live = gathered.entries.flatMap(({ value, stale }, at) => (stale ? [] : [{ value, at }]));
    for (const { value } of live) this.promises.starts(input.batch, value);
    const fate = this.batchFate();
    if (fate === 'throws') return { kind: 'failed', error: 'poison', tooLarge: false, final: false };
    if (fate === 'tooLarge') return { kind: 'failed', error: '413', tooLarge: true, final: false };
    if (fate === 'holds') return { kind: 'held', error: '429', forMs: 300 };
    const kept: Returned[] = [];
    const stays = this.of.keyed && input.chunks.some(({ row }) => row !== undefined);
    let room = 128 * 1024;
    for (const { value, at } of live) {
      const what = this.verdict(value);
      if (what === 'done') this.promises.handled.add(value.id);
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

  protected override continueAsNew(): void {
    this.promises.measure(this.state);
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
  protected override end(): void {
    for (const lane of LANES) {
      const left = [...this.state[lane].chunks, ...this.state[lane].overflow].filter(({ entries }) => entries);
      if (left.length > 0) throw new Error('it ends with entries in its memory');
    }
    this.state = copy({ ...this.state, stopped: false, runs: this.state.runs + 1 });
    this.fresh(sizedBytes(this.state));
    this.ended++;
  }

  /** Notes the state that a reset goes back to. */
  protected override keep(): void {
    this.snapshot = { state: copy(this.state), index: copyIndex(this.index), said: this.said.length };
  }

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
    this.promises.begunAnew();
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

  /** A row that entries lie in goes missing. */
  vanish(): void {
    const rows = [...this.pg.rows].filter(([, { lane }]) => lane !== null);
    const one = this.draw.one(rows);
    if (!one) return;
    for (const entry of one[1].entries) if (entry) this.promises.excused.add(entry.id);
    this.pg.rows.delete(one[0]);
  }
}

function copyIndex({ pending, running }: KeyIndex): KeyIndex {
  return {
    pending: new Map(pending),
    running: new Map([...running].map(([key, { count, newest }]) => [key, { count, newest }])),
  };
}
