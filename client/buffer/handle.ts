/**
 * One buffer, from outside: start it, push to it, read its counts, pause and flush it. Got from `Longwatch.buffer`;
 * used by programs and by the command line. Its part that trackers and jobs have too is `unit.ts`; entries go by
 * `push.ts`, dead letters are `dead.ts`, and what is read comes from PostgreSQL and, exact to the
 * moment, from the shards themselves.
 */
import type { Client } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import { sleep } from '../../activities/lib/sleep';
import type { AnyBuffer } from '../../config/define/buffer';
import type { buffer as workflow } from '../../workflows/buffer/buffer';
import {
  bufferWorkflowId,
  declareBufferUpdate,
  flushBufferUpdate,
  pauseBufferUpdate,
  reconfigureBufferUpdate,
  resumeBufferUpdate,
  shardStatusQuery,
  shardWorkflowId,
  stopBufferUpdate,
  type ShardStatus,
} from '../../workflows/buffer/contract';
import { shardsOf } from '../../workflows/buffer/init';
import { withBufferChanges, type BufferOptions } from '../../workflows/buffer/options';
import type { BufferInput } from '../../workflows/buffer/state';
import { TASK_QUEUE, type CommandResult, type RunState } from '../../workflows/lib/contract';
import type { Json } from '../../workflows/lib/json';
import type { OptionChange } from '../../workflows/lib/options';
import { announced, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import {
  BufferGoneError,
  BufferStoppedError,
  DatabaseUnavailableError,
  NoWorkerError,
  TimedOutError,
  UnknownBufferError,
} from '../errors';
import type { Setting } from '../settings';
import { Unit, type UnitKind, type UnitRow } from '../unit';
import { DeadLetters } from './dead';
import { Packer } from './parcels';
import { pushEntries, type PushOptions, type PushResult } from './push';
import { BUFFER, BUFFER_NAMES, BUFFER_SHARDS } from './queries';
import { BufferSenders } from './senders';
import { bufferChange, bufferSettings } from './settings';
import { summarize, type BufferSummary } from './status';

const START_MS = 30_000;
/** After how long without an answer it is asked whether there is a worker at all. Milliseconds. */
const PATIENCE_MS = 8_000;
/** How long `stop` waits for the batches that run. Milliseconds. */
const STOP_MS = 30_000;
/** How long what was read of the buffer's row is believed. Milliseconds. */
const BELIEVED_MS = 5_000;

interface Row extends UnitRow<BufferOptions> {
  /** The declared options with what was set by hand laid over them. */
  settings: BufferOptions;
}

const KIND: UnitKind<BufferOptions> = {
  noun: 'buffer',
  names: BUFFER_NAMES,
  workflowId: bufferWorkflowId,
  commands: {
    stop: stopBufferUpdate,
    pause: pauseBufferUpdate,
    resume: resumeBufferUpdate,
    declare: declareBufferUpdate,
    reconfigure: reconfigureBufferUpdate,
  },
  Stopped: BufferStoppedError,
  Gone: BufferGoneError,
  Unknown: UnknownBufferError,
};

/** While it is paused no batch is started; entries are still accepted. */
export class BufferHandle<E = Json> extends Unit<BufferOptions, Row> {
  private readonly packer: Packer;
  private readonly senders: BufferSenders;
  private opened?: { row: Row; until: number };

  /** @param definition gives the keys where the buffer's `key` is a function. */
  constructor(name: string, connections: Connections, definition?: AnyBuffer) {
    super(name, connections, KIND);
    this.packer = new Packer(name, definition);
    this.senders = new BufferSenders(connections, name);
  }

  /**
   * Ends the buffer's workflows. Batches that run end first, no other begins, no entry is taken; what is pending lies
   * in PostgreSQL and goes on at the next `start`. @throws TimedOutError where batches take longer: it is stopped when
   * they have ended.
   */
  override async stop(options?: CommandOptions): Promise<CommandResult> {
    const result = await super.stop(options);
    return { ...result, state: await this.awaitKept() };
  }

  /** Entries that wait for their batch to fill are run now. */
  async flush({ why }: CommandOptions = {}): Promise<{ shards: number }> {
    await this.require();
    return announced(this.connections, { ...this.listed('flush'), why }, async () => {
      const result = await this.update(flushBufferUpdate, []);
      return { result, after: result };
    });
  }

  /**
   * Gives entries to the buffer. Any JSON; of one call they keep their order within a shard, but for those without a
   * key that a shard which has no room leaves to another one.
   * @throws InvalidEntryError before anything is sent; BufferStoppedError; BufferFullError; PushUnansweredError;
   *   TemporalUnavailableError.
   */
  async push(entries: Iterable<E> | AsyncIterable<E>, options: PushOptions = {}): Promise<PushResult> {
    const { settings } = await this.runningRow();
    return pushEntries(this.packer, this.senders, entries, settings, options);
  }

  /**
   * Its counts, exact: asked of the shards themselves. If no worker answers, they are those of the last reports, and
   * the summary says so.
   */
  async status(): Promise<BufferSummary> {
    this.opened = undefined;
    const row = await this.require();
    const reported = await this.shards();
    // Kept counts are exact, and nobody is there to be asked.
    if (reported.every(({ saved }) => saved)) {
      return summarize(
        this.name,
        row.state,
        reported.map(({ status }) => status),
        0,
      );
    }
    const exact = await Promise.all(reported.map(({ status }) => this.askShard(status.shard)));
    const shards = reported.map((report, i) => exact[i] ?? report.status);
    const oldest = reported.reduce((age, report, i) => (exact[i] ? age : Math.max(age, report.age_ms)), 0);
    return summarize(this.name, row.state, shards, exact.every(Boolean) ? 0 : oldest);
  }

  get dead(): DeadLetters {
    return new DeadLetters(
      this.name,
      this.connections,
      async () => void (await this.require()),
      async () => void (await this.runningRow()),
    );
  }

  private async askShard(shard: number, tries = 3): Promise<ShardStatus | undefined> {
    try {
      return await this.connections.ask(
        (client) => client.workflow.getHandle(shardWorkflowId(this.name, shard)).query(shardStatusQuery),
        { withinMs: 3_000 },
      );
    } catch (error) {
      // It came with half a task (`workflows/interceptors.ts`). The error's class would load the SDK.
      const isRefused = error instanceof Error && error.name === 'QueryNotRegisteredError';
      if (isRefused && tries > 1) return this.askShard(shard, tries - 1);
      return undefined;
    }
  }

  // ── The buffer itself ──

  /** The row as it was read lately; entries go by it. */
  protected override async require(): Promise<Row> {
    if (this.opened && this.opened.until > Date.now()) return this.opened.row;
    const row = await this.find().catch((error: unknown) => {
      // Its shards refuse what a buffer that was stopped meanwhile may not take.
      if (this.opened && error instanceof DatabaseUnavailableError) return this.opened.row;
      throw error;
    });
    if (!row) throw await this.unknown();
    this.opened = { row, until: Date.now() + BELIEVED_MS };
    return row;
  }

  protected override shown(): Promise<Row> {
    this.opened = undefined;
    return this.require();
  }

  protected async find(): Promise<Row | undefined> {
    const [row] = await this.connections.rows<BufferRow>(BUFFER, [this.name]);
    if (!row) return undefined;
    const { state, declared, changes, version } = row;
    return { state, options: declared, changes, version, settings: withBufferChanges(declared, changes) };
  }

  /** @throws BufferStoppedError */
  private async runningRow(): Promise<Row> {
    const row = await this.require();
    if (row.state !== 'stopped') return row;
    // It may have been started since.
    this.opened = undefined;
    const again = await this.require();
    if (again.state === 'stopped') throw new BufferStoppedError(this.name);
    return again;
  }

  private shards(): Promise<ShardRow[]> {
    return this.connections.rows<ShardRow>(BUFFER_SHARDS, [this.name]);
  }

  protected startRoot(client: Client, options: BufferOptions | undefined): Promise<unknown> {
    const input: BufferInput = { buffer: this.name, options };
    return client.workflow.start<typeof workflow>('buffer', {
      workflowId: bufferWorkflowId(this.name),
      taskQueue: TASK_QUEUE,
      args: [input],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      staticSummary: `buffer ${this.name}`,
    });
  }

  protected settingsOf(row: Row): Setting[] {
    return bufferSettings(row.options, row.changes);
  }

  protected changeOf(_: Row, path: string, value: string | number | boolean | null): OptionChange {
    return bufferChange(path, value);
  }

  /** Starts it and waits for its shards. One that was stopped a moment ago ends first. */
  protected override async startAndOpen(options: BufferOptions | undefined): Promise<{ row: Row; started: boolean }> {
    this.opened = undefined;
    let started = await this.startWorkflow(options);
    const since = Date.now();
    for (;;) {
      const row = await this.find();
      const shards = row ? await this.shards() : [];
      const open = row && row.state !== 'stopped' && shards.length >= shardsOf(row.settings);
      if (open && !shards.some(({ saved }) => saved)) return { row, started };
      if (row?.state === 'stopped') started ||= await this.startWorkflow(options);
      const waitedMs = Date.now() - since;
      if (waitedMs > PATIENCE_MS && !(await this.connections.workersPoll())) {
        throw new NoWorkerError(`buffer '${this.name}' is accepted`, ' (it begins as soon as there is one)');
      }
      if (waitedMs > START_MS) {
        const there = shards.filter(({ saved }) => !saved).length;
        throw new TimedOutError(
          `buffer '${this.name}' is accepted, and ${there} of its shards have reported in ${START_MS / 1_000} s; ` +
            `the others may follow by themselves, see the worker's log`,
        );
      }
      await sleep(50);
    }
  }

  /** Until every shard has ended, and all of it is in PostgreSQL; or somebody has started it again. */
  private async awaitKept(): Promise<RunState> {
    const deadline = Date.now() + STOP_MS;
    for (;;) {
      const left = (await this.shards()).filter(({ saved }) => !saved);
      const row = await this.find();
      if (left.length === 0 || row?.state !== 'stopped') return row?.state ?? 'stopped';
      if (Date.now() > deadline) {
        throw new TimedOutError(
          `buffer '${this.name}' no longer accepts entries. ${left.length} of its shards still ` +
            `${left.length === 1 ? 'runs' : 'run'} batches; it stops when those end, see: npx longwatch status ${this.name}`,
        );
      }
      await sleep(50);
    }
  }

  protected override update<Result, Args extends unknown[]>(
    definition: UpdateDefinition<Result, Args>,
    args: Args,
  ): Promise<Result> {
    this.opened = undefined;
    return super.update(definition, args);
  }
}

interface BufferRow {
  [column: string]: unknown;
  state: RunState;
  declared: BufferOptions;
  changes: Row['changes'];
  version: number;
}

interface ShardRow {
  [column: string]: unknown;
  status: ShardStatus;
  age_ms: number;
  /** Kept when its buffer was stopped. */
  saved: boolean;
}
