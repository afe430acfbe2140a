/**
 * One shard of a buffer: its queue. Senders' messages come in as signals and updates (`intake.ts`); `nextShardStep`
 * (`plan.ts`) says what to do next, and the shard's parts (`parts/`) carry it out: batches, storage, dead letters,
 * reports, room. Every entry is in this workflow's state from the message that brought it until it is done, dead,
 * merged or dropped, so the counts hold at every moment, whichever process dies. Started by the parent (`buffer.ts`);
 * ends when its buffer is stopped (`reopen.ts`).
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { Alarm } from '../lib/alarm';
import { leaveWhenQuiet } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import { bridge } from './bridge';
import { slim } from './carry';
import {
  deadSignal,
  flushSignal,
  memorySignal,
  settingsSignal,
  pushSignal,
  pushUpdate,
  shardStatusQuery,
  type PushAnswer,
  type PushMessage,
} from './contract';
import { accept, readPush, refusalOf } from './intake';
import { indexKeys, type KeyIndex } from './keys';
import { moveDue } from './next-batch';
import { storeReached } from './outage';
import { Batches } from './parts/batches';
import { DeadLetters } from './parts/dead';
import { prefixOf, type Part } from './parts/part';
import { Reports } from './parts/reports';
import { Room } from './parts/room';
import { Storage } from './parts/storage';
import { historyFull, nextShardStep, type ShardMoment, type ShardStep } from './plan';
import { freshShardState } from './queue';
import { reopened } from './reopen';
import type { ShardInput, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

export async function shard(input: ShardInput): Promise<void> {
  // A cancellation would lose what the shard holds: it goes on.
  await CancellationScope.nonCancellable(async () => {
    const state = input.reopen ? await reopened(input) : input.state;
    await new Shard({ ...input, state }).keep();
  });
}

class Shard implements Part {
  readonly where: { buffer: string; shard: number };
  readonly state: ShardState;
  readonly index: KeyIndex;
  private readonly reports: Reports;
  private readonly room: Room;
  private readonly storage = new Storage(this);
  private readonly batches = new Batches(this);
  private readonly deadLetters = new DeadLetters(this);
  private readonly alarm = new Alarm(() => this.wake(), SHARD_TUNABLES.youngAlarmMs);
  /** Raised by whatever may change the next step. */
  private happenings = 0;
  /** Updates of this run: the server takes 2,000. */
  private updates = 0;
  /** The bytes that the commands of one task carry: the length of the history tells one task from the next. */
  private readonly task = { length: 0, bytes: 0 };

  constructor(input: ShardInput) {
    const { buffer, shard: number } = input;
    this.where = { buffer, shard: number };
    const begin = input.begin && { ...input.begin, nowMs: Date.now() };
    this.state = input.state ?? freshShardState(input.orders!, input.userState ?? null, begin);
    this.index = indexKeys(this.state);
    this.reports = new Reports(this);
    this.room = new Room(this, input.state === undefined);
  }

  happened(): void {
    this.reports.happened();
    this.wake();
  }

  wake(): void {
    this.happenings++;
  }

  spent(bytes: number): void {
    this.task.bytes = bytes + this.taskBytes();
    this.task.length = workflowInfo().historyLength;
  }

  /** Takes in what is said, then decides, carries out and waits, until the run or the shard ends. */
  async keep(): Promise<void> {
    this.handleMessages();
    this.handleCommands();
    for (;;) {
      bridge(this.state, this.index, prefixOf(this));
      moveDue(this.state, this.index, Date.now());
      this.reports.warnOfSpilling();
      this.room.rests(Date.now());
      const blocks = this.carryOut(nextShardStep(this.state, this.moment()));
      if (blocks && (await blocks) === 'ended') return;
    }
  }

  /**
   * @returns undefined where the loop goes on at once: what the step began comes back by itself. A promise is handed to
   *   the loop as it is: one promise more would change the order of a task's commands.
   */
  private carryOut(step: ShardStep): Promise<'ended' | boolean | void> | void {
    switch (step.do) {
      case 'run':
        return void this.batches.run();
      case 'takeBack':
        return this.batches.takeBack();
      case 'ask':
        return void this.storage.ask();
      case 'store':
        return void this.storage.store(this.state.stopped === true || historyFull(this.state, this.moment()));
      case 'fetch':
        return void this.storage.fetch(step.lane);
      case 'bury':
        return void this.deadLetters.bury();
      case 'revive':
        return void this.deadLetters.revive();
      case 'tell':
        return this.reports.tell();
      case 'report':
        return void this.reports.report();
      case 'tellRoom':
        return void this.room.tell();
      case 'slim':
        return slim(this.state);
      case 'continueAsNew':
        return this.leave();
      case 'end':
        return this.end();
      case 'wait':
        return this.wait(step.untilMs);
    }
  }

  // ── What is said to it ──

  private handleMessages(): void {
    const { state, index } = this;
    setHandler(pushSignal, (payload) => {
      const message = readPush(payload);
      accept(state, index, message, Date.now());
      this.room.heard(message);
      this.happened();
    });
    setHandler(pushUpdate, (messages) => this.push(messages), {
      // A message that is refused here is not in the history, which waiting senders would fill.
      validator: (messages: PushMessage[]) => {
        const refusal = refusalOf(state, messages.map(readPush));
        if (refusal === undefined) return;
        const { buffer } = this.where;
        const { BufferStopped, BufferFull } = ErrorType;
        if (refusal === 'stopped') throw ApplicationFailure.nonRetryable(`buffer ${buffer} is stopped`, BufferStopped);
        throw ApplicationFailure.nonRetryable(
          `a shard of buffer ${buffer} has no room now`,
          BufferFull,
          refusal.waitMs,
        );
      },
    });
  }

  private push(messages: PushMessage[]): PushAnswer {
    const { state, index } = this;
    this.updates++;
    // Between the question and the answer a stop may have come.
    const refusal = refusalOf(state, messages.map(readPush));
    if (refusal === 'stopped') return { accepted: false, waitMs: 0, stopped: true };
    if (refusal) return { accepted: false, waitMs: refusal.waitMs };
    for (const message of messages) accept(state, index, readPush(message), Date.now());
    this.happened();
    return { accepted: true };
  }

  private handleCommands(): void {
    const { state } = this;
    setHandler(flushSignal, () => {
      state.flushBelow = state.nextEntry;
      this.happened();
    });
    setHandler(settingsSignal, (settings) => {
      if (settings.version < state.optionsVersion) return;
      state.options = settings.options;
      state.optionsVersion = settings.version;
      state.paused = settings.paused;
      state.stopped = settings.stopped === true;
      if (settings.lift) state.holdUntil = 0;
      // They come from PostgreSQL: it answers.
      if (state.outage) storeReached(state);
      this.happened();
    });
    setHandler(deadSignal, (command) => {
      state.deadOrders.push({ ...command, page: 0 });
      this.happened();
    });
    setHandler(memorySignal, (wish) => {
      state.shrunk = wish === 'shrink';
      this.happened();
    });
    setHandler(shardStatusQuery, () => this.reports.status());
  }

  // ── What it knows, and how it waits and ends ──

  private moment(): ShardMoment {
    const { historyLength, historySize, continueAsNewSuggested } = workflowInfo();
    return {
      ...this.storage.moment,
      ...this.deadLetters.moment,
      ...this.reports.moment,
      ...this.room.moment,
      ...this.batches.moment,
      nowMs: Date.now(),
      handlersBusy: !allHandlersFinished(),
      historyEvents: historyLength,
      historyBytes: historySize,
      updates: this.updates,
      suggested: continueAsNewSuggested,
      taskBytes: this.taskBytes(),
    };
  }

  private taskBytes(): number {
    return workflowInfo().historyLength === this.task.length ? this.task.bytes : 0;
  }

  private wait(untilMs = Infinity): Promise<void> {
    const seen = this.happenings;
    // A handler finishes slightly after the change it made is visible. If that is all we wait for, no other event would
    // wake this loop.
    const waitsForHandlers = !allHandlersFinished();
    this.alarm.by(untilMs);
    return condition(() => this.happenings !== seen || (waitsForHandlers && allHandlersFinished()));
  }

  private leave(): Promise<boolean> {
    const { state, where } = this;
    return leaveWhenQuiet(
      () => nextShardStep(state, this.moment()).do === 'continueAsNew',
      () => continueAsNew<typeof shard>({ ...where, state: { ...state, runs: state.runs + 1 } }),
    );
  }

  /** Ends the shard, unless what it knows could not be saved, or something has come meanwhile. */
  private async end(): Promise<'ended' | void> {
    const seen = this.happenings;
    const status = this.reports.status();
    if (!(await this.reports.save(status)) || this.happenings !== seen || !allHandlersFinished()) return;
    this.reports.ended(status);
    return 'ended';
  }
}
