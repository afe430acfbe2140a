/**
 * One buffer, from outside: start it, push to it, read its counts, pause and flush it. Got from `Longwatch.buffer`;
 * used by programs and by the command line. Entries go by `push.ts`, dead letters are `dead.ts`,
 * and what is read comes from PostgreSQL and, exact to the moment, from the shards themselves.
 */
import type { AnyBuffer } from '../../config/define/buffer';
import { didYouMean } from '../../config/suggest';
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
  type BufferCommandResult,
  type BufferRunState,
  type ShardStatus,
} from '../../workflows/buffer/contract';
import type { BufferInput } from '../../workflows/buffer/state';
import { shardsOf } from '../../workflows/buffer/init';
import { withBufferChanges, type BufferOptions } from '../../workflows/buffer/options';
import { bufferChange, bufferSettings } from './settings';
import { summarize, type BufferSummary } from './status';
import { command, type Target } from '../commands';
import type { Connections } from '../connections';
import { DeadLetters } from './dead';
import {
  BufferGoneError,
  BufferStoppedError,
  DatabaseUnavailableError,
  NoWorkerError,
  TimedOutError,
  UnknownBufferError,
} from '../errors';
import { Packer } from './parcels';
import { pushEntries, type PushOptions, type PushResult } from './push';
import { BufferSenders } from './senders';
import { sameOptions, type Setting } from '../settings';
import { temporalCommon } from '../temporal-client';
import type { OptionChange } from '../../workflows/lib/options';
import { TASK_QUEUE, type ReconfigureResult } from '../../workflows/lib/contract';
import type { Json } from '../../workflows/lib/json';
import { BUFFER, BUFFER_NAMES, BUFFER_SHARDS } from './queries';
import { sleep } from '../../activities/lib/sleep';

const START_MS = 30_000;
/** After how long without an answer it is asked whether there is a worker at all. Milliseconds. */
const PATIENCE_MS = 8_000;
/** How long `stop` waits for the batches that run. Milliseconds. */
const STOP_MS = 30_000;
/** How long what was read of the buffer's row is believed. Milliseconds. */
const BELIEVED_MS = 5_000;

export interface BufferStartResult {
  alreadyRunning: boolean;
  state: BufferRunState;
  /** It runs with other options than those given; `declare` hands them over. */
  differs: boolean;
}

interface Row {
  [column: string]: unknown;
  state: BufferRunState;
  /** The definition's options with what was set by hand laid over them. */
  options: BufferOptions;
  declared: BufferOptions;
  changes: Record<string, OptionChange['value']>;
}

export class BufferHandle<E = Json> {
  private readonly packer: Packer;
  private readonly senders: BufferSenders;
  private opened?: { row: Row; until: number };

  /** @param definition gives the keys where the buffer's `key` is a function. */
  constructor(
    readonly name: string,
    private readonly connections: Connections,
    definition?: AnyBuffer,
  ) {
    this.packer = new Packer(name, definition);
    this.senders = new BufferSenders(connections, name);
  }

  /**
   * Starts the buffer, or does nothing when it runs. Returns once its shards are there, with all that they had when it
   * was stopped.
   * @param options compiled (`resolveConfig`); without them, a buffer that was stopped starts with those it had.
   * @throws NoWorkerError; TimedOutError where there is a worker and its shards do not report in 30 s;
   *   UnknownBufferError.
   */
  async start(options?: BufferOptions): Promise<BufferStartResult> {
    this.opened = undefined;
    const declared = options ?? (await this.row()).declared;
    await this.connections.ownNamespace();
    const { row, started } = await this.startAndOpen({ buffer: this.name, options: declared });
    return { alreadyRunning: !started, state: row.state, differs: !sameOptions(row.declared, declared) };
  }

  /**
   * Ends the buffer's workflows. Batches that run end first, no other begins, no entry is taken; what is pending lies
   * in PostgreSQL and goes on at the next `start`. @throws TimedOutError where batches take longer: it is stopped when
   * they have ended.
   */
  async stop(): Promise<BufferCommandResult> {
    this.opened = undefined;
    let result: BufferCommandResult;
    try {
      result = await this.update(stopBufferUpdate, []);
    } catch (error) {
      if (!(error instanceof BufferStoppedError)) throw error;
      result = { state: 'stopped', changed: false };
    }
    return { ...result, state: await this.awaitKept() };
  }

  /** Hands new options to the running buffer. */
  declare(options: BufferOptions): Promise<ReconfigureResult> {
    return this.update(declareBufferUpdate, [options]);
  }

  /**
   * Changes options while it runs: `set({ maxConcurrency: 8, 'retry.base': '2s' })`; null takes a change back.
   * @throws ConfigError for an unknown option or a value that may not stand.
   */
  async set(changes: Record<string, string | number | boolean | null>): Promise<ReconfigureResult> {
    await this.row();
    return this.update(reconfigureBufferUpdate, [
      Object.entries(changes).map(([path, value]) => bufferChange(path, value)),
    ]);
  }

  /** Every option, its value and where that comes from. */
  async config(): Promise<Setting[]> {
    this.opened = undefined;
    const { declared, changes } = await this.row();
    return bufferSettings(declared, changes);
  }

  /** No batch is started until `resume`; entries are still accepted. */
  pause(): Promise<BufferCommandResult> {
    return this.update(pauseBufferUpdate, []);
  }

  resume(): Promise<BufferCommandResult> {
    return this.update(resumeBufferUpdate, []);
  }

  /** Runs what waits for its batch to fill now. */
  flush(): Promise<{ shards: number }> {
    return this.update(flushBufferUpdate, []);
  }

  /**
   * Gives entries to the buffer. Any JSON; of one call they keep their order within a shard, but for those without a
   * key that a shard which has no room leaves to another one.
   * @throws InvalidEntryError before anything is sent; BufferStoppedError; BufferFullError; PushUnansweredError;
   *   TemporalUnavailableError.
   */
  async push(entries: Iterable<E> | AsyncIterable<E>, options: PushOptions = {}): Promise<PushResult> {
    const { options: settings } = await this.runningRow();
    return pushEntries(this.packer, this.senders, entries, settings, options);
  }

  /**
   * Its counts, exact: asked of the shards themselves. Where no worker answers, what they last reported, which says so.
   */
  async status(): Promise<BufferSummary> {
    this.opened = undefined;
    const row = await this.row();
    const reported = await this.shards();
    // Saved counts are exact, and nobody is there to be asked.
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
      async () => void (await this.row()),
      async () => void (await this.runningRow()),
    );
  }

  private async askShard(shard: number): Promise<ShardStatus | undefined> {
    try {
      return await this.connections.ask(
        (client) => client.workflow.getHandle(shardWorkflowId(this.name, shard)).query(shardStatusQuery),
        { withinMs: 3_000 },
      );
    } catch {
      return undefined;
    }
  }

  // ── The buffer itself ──

  private async row(): Promise<Row> {
    if (this.opened && this.opened.until > Date.now()) return this.opened.row;
    const row = await this.readRow().catch((error: unknown) => {
      // Its shards refuse what a buffer that was stopped meanwhile may not take.
      if (this.opened && error instanceof DatabaseUnavailableError) return this.opened.row;
      throw error;
    });
    if (!row) throw await this.unknown();
    this.opened = { row, until: Date.now() + BELIEVED_MS };
    return row;
  }

  private async readRow(): Promise<Row | undefined> {
    const [row] = await this.connections.rows<Row>(BUFFER, [this.name]);
    return row && { ...row, options: withBufferChanges(row.declared, row.changes) };
  }

  /** @throws BufferStoppedError */
  private async runningRow(): Promise<Row> {
    const row = await this.row();
    if (row.state !== 'stopped') return row;
    // It may have been started since.
    this.opened = undefined;
    const now = await this.row();
    if (now.state === 'stopped') throw new BufferStoppedError(this.name);
    return now;
  }

  private shards(): Promise<ShardRow[]> {
    return this.connections.rows<ShardRow>(BUFFER_SHARDS, [this.name]);
  }

  private async unknown(): Promise<Error> {
    const names = (await this.connections.rows<{ name: string }>(BUFFER_NAMES)).map((row) => row.name);
    return new UnknownBufferError(this.name, names, didYouMean(this.name, names));
  }

  private async startWorkflow(input: BufferInput): Promise<boolean> {
    try {
      await this.connections.temporal((client) =>
        client.workflow.start('buffer', {
          workflowId: bufferWorkflowId(this.name),
          taskQueue: TASK_QUEUE,
          args: [input],
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          workflowIdConflictPolicy: 'FAIL',
          staticSummary: `buffer ${this.name}`,
        }),
      );
      return true;
    } catch (error) {
      if (!(error instanceof temporalCommon().WorkflowExecutionAlreadyStartedError)) throw error;
      return false;
    }
  }

  /** Starts it and waits for its shards. One that was stopped a moment ago ends first. */
  private async startAndOpen(input: BufferInput): Promise<{ row: Row; started: boolean }> {
    let started = await this.startWorkflow(input);
    const since = Date.now();
    for (;;) {
      const row = await this.readRow();
      const shards = row ? await this.shards() : [];
      const open = row && row.state !== 'stopped' && shards.length >= shardsOf(row.options);
      if (open && !shards.some(({ saved }) => saved)) return { row, started };
      if (row?.state === 'stopped') started ||= await this.startWorkflow(input);
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
  private async awaitKept(): Promise<BufferRunState> {
    const deadline = Date.now() + STOP_MS;
    for (;;) {
      const left = (await this.shards()).filter(({ saved }) => !saved);
      const row = await this.readRow();
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

  private update<R, A extends unknown[]>(definition: Parameters<typeof command<R, A>>[2], args: A): Promise<R> {
    this.opened = undefined;
    const target: Target = {
      workflowId: bufferWorkflowId(this.name),
      noun: `buffer '${this.name}'`,
      missing: async () => {
        const row = await this.readRow();
        if (!row) return this.unknown();
        return row.state === 'stopped' ? new BufferStoppedError(this.name) : new BufferGoneError(this.name);
      },
    };
    return command(this.connections, target, definition, args, { unknown: () => this.unknown() });
  }
}

interface ShardRow {
  [column: string]: unknown;
  status: ShardStatus;
  age_ms: number;
  /** Kept when its buffer was stopped. */
  saved: boolean;
}
