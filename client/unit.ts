/**
 * The common part of trackers, buffers and jobs from outside: each has a row in PostgreSQL and a root workflow that
 * carries out commands. The base of `tracker/handle.ts`, `buffer/handle.ts` and `job/handle.ts`; commands go on by
 * `commands.ts`.
 */
import type { Client } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import type { Statement } from '../activities/lib/database';
import { sleep } from '../activities/lib/sleep';
import { didYouMean } from '../config/suggest';
import type { CommandResult, ReconfigureResult, RunState } from '../workflows/lib/contract';
import { changesAfter, type OptionChange, type OptionChanges } from '../workflows/lib/options';
import { announced, type CommandOptions, type SetOptions } from './audit';
import { command } from './commands';
import type { Connections } from './connections';
import { ChangedError, NoWorkerError, TimedOutError } from './errors';
import { sameOptions, type Setting } from './settings';
import { temporalCommon } from './temporal-client';

/** How long `start` waits for a worker to open the row. Milliseconds. */
const START_MS = 30_000;
/** The round in which it is asked whether there is a worker at all: one of the development stack may be coming up. */
const ASK_IN_ROUND = 25;
/** So often `set` looks again whether options are still those that were read, where something else has changed. */
const LOOKS = 5;

export interface StartResult {
  /** True: it ran before; nothing was changed. */
  alreadyRunning: boolean;
  state: RunState;
  /** It runs with other options than those given; `declare` hands them over. */
  differs: boolean;
}

/** The part of its row that all three have. */
export interface UnitRow<Options> {
  state: RunState;
  /** As declared, without what was set by hand. */
  options: Options;
  /** Values that were set by hand, by the option's compiled path. */
  changes: OptionChanges;
  /** Grows with each change of its state or options. */
  version: number;
}

/** How one kind of unit is called, found and commanded. */
export interface UnitKind<Options> {
  noun: 'tracker' | 'buffer' | 'job';
  /** All that were ever started, for messages. */
  names: Statement;
  workflowId: (name: string) => string;
  commands: {
    stop: UpdateDefinition<CommandResult, []>;
    pause: UpdateDefinition<CommandResult, []>;
    resume: UpdateDefinition<CommandResult, []>;
    declare: UpdateDefinition<ReconfigureResult, [Options]>;
    reconfigure: UpdateDefinition<ReconfigureResult, [OptionChange[], number?]>;
  };
  Stopped: new (name: string) => Error;
  Gone: new (name: string) => Error;
  Unknown: new (name: string, hint: string, names: readonly string[]) => Error;
}

const valuesOf = (settings: readonly Setting[]): Record<string, string> =>
  Object.fromEntries(settings.map(({ path, value }) => [path, value]));

/** An operation that one of the two has not is `none` there. */
const picked = (values: Record<string, string>, paths: readonly string[]): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, values[path] ?? 'none']));

export abstract class Unit<Options extends object, Row extends UnitRow<Options>> {
  constructor(
    readonly name: string,
    protected readonly connections: Connections,
    private readonly kind: UnitKind<Options>,
  ) {}

  /**
   * Starts it, or does nothing when it runs. Returns once a worker has opened it.
   * @param options compiled (`resolveConfig`); without them, one that was stopped starts with those it had.
   * @throws UnknownTrackerError, UnknownBufferError or UnknownJobError without options for one that has never been
   *   started; RefusedError when PostgreSQL refuses a job's SQL, with its message; NoWorkerError; TimedOutError.
   */
  async start(options?: Options, { why }: CommandOptions = {}): Promise<StartResult> {
    const before = await this.find();
    if (!before && !options) throw await this.unknown();
    await this.connections.ownNamespace();
    const is = { state: before?.state ?? null };
    return announced(this.connections, { ...this.listed('start'), before: is, why }, async () => {
      const { row, started } = await this.startAndOpen(options ?? before?.options);
      const differs = !started && options !== undefined && !sameOptions(row.options, options);
      const result = { alreadyRunning: !started, state: row.state, differs };
      return { result, after: { state: row.state }, changed: started };
    });
  }

  /** Ends its workflows and what works for it. Stored data stays; `start` goes on with it. */
  stop(options?: CommandOptions): Promise<CommandResult> {
    return this.changeState('stop', options, async () => {
      try {
        return await this.update(this.kind.commands.stop, []);
      } catch (error) {
        if (error instanceof this.kind.Stopped) return { state: 'stopped', changed: false };
        throw error;
      }
    });
  }

  /** It does nothing new until `resume`; what it is given is still taken. */
  pause(options?: CommandOptions): Promise<CommandResult> {
    return this.changeState('pause', options, () => this.update(this.kind.commands.pause, []));
  }

  resume(options?: CommandOptions): Promise<CommandResult> {
    return this.changeState('resume', options, () => this.update(this.kind.commands.resume, []));
  }

  /**
   * Gives it the options of a new version of its definition while it runs; what was set by hand stays.
   * @throws RefusedError when PostgreSQL refuses a job's SQL
   */
  async declare(options: Options, command?: CommandOptions): Promise<ReconfigureResult> {
    const row = await this.current();
    return this.changeOptions('declare', row, { ...row, options }, command, () =>
      this.update(this.kind.commands.declare, [options]),
    );
  }

  /**
   * Changes options while it runs: `set({ 'retry.base': '2s', 'operations.location.every': '500ms' })`; null takes a
   * change back.
   * @throws ConfigError for an unknown option or a value that may not stand; ChangedError where `onlyIf` does not hold
   */
  async set(
    changes: Record<string, string | number | boolean | null>,
    { onlyIf, ...command }: SetOptions = {},
  ): Promise<ReconfigureResult> {
    const row = await this.current();
    this.requireThat(onlyIf, row);
    const compiled = Object.entries(changes).map(([path, value]) => this.changeOf(row, path, value));
    const later = changesAfter(row.changes, compiled);
    return this.changeOptions('set', row, { ...row, changes: later }, command, () =>
      onlyIf ? this.setWhere(compiled, row, onlyIf) : this.update(this.kind.commands.reconfigure, [compiled]),
    );
  }

  /**
   * Sent with the version that was looked at, which decides where it is written. A pause and an answer of
   * the gate change it too: then the options are looked at again.
   */
  private async setWhere(
    compiled: OptionChange[],
    looked: Row,
    onlyIf: NonNullable<SetOptions['onlyIf']>,
  ): Promise<ReconfigureResult> {
    let row = looked;
    for (let left = LOOKS; ; left--) {
      try {
        return await this.update(this.kind.commands.reconfigure, [compiled, row.version]);
      } catch (error) {
        if (!(error instanceof ChangedError) || left === 0) throw error;
        row = await this.current();
        this.requireThat(onlyIf, row);
      }
    }
  }

  /** @throws ChangedError */
  private requireThat(onlyIf: SetOptions['onlyIf'], row: Row): void {
    if (onlyIf && !onlyIf(this.settingsOf(row))) throw new ChangedError(`${this.kind.noun} '${this.name}'`);
  }

  /** Every option, its value and where that comes from. */
  async config(): Promise<Setting[]> {
    return this.settingsOf(await this.shown());
  }

  // ── What each kind does in its own way ──

  protected abstract find(): Promise<Row | undefined>;

  /** Starts its root workflow. The SDK's error when it runs already. */
  protected abstract startRoot(client: Client, options: Options | undefined): Promise<unknown>;

  protected abstract settingsOf(row: Row): Setting[];

  /** @throws ConfigError */
  protected abstract changeOf(row: Row, path: string, value: string | number | boolean | null): OptionChange;

  /** Asked while it is waited for: throws what has kept its workflow from opening it. */
  protected async throwIfRefused(): Promise<void> {}

  /** The row for what is only shown. */
  protected shown(): Promise<Row> {
    return this.require();
  }

  // ── What they share ──

  /** A command to it, as the audit lists it. */
  protected listed(what: string): { what: string; subject: string } {
    return { what, subject: `${this.kind.noun}/${this.name}` };
  }

  /** As it is written now, not as it was read some seconds ago: a change is told against it. */
  private async current(): Promise<Row> {
    const row = await this.find();
    if (!row) throw await this.unknown();
    return row;
  }

  private async changeState(
    what: 'stop' | 'pause' | 'resume',
    { why }: CommandOptions = {},
    effect: () => Promise<CommandResult>,
  ): Promise<CommandResult> {
    const before = { state: (await this.current()).state };
    return announced(this.connections, { ...this.listed(what), before, why }, async () => {
      const result = await effect();
      // A tracker's resume also releases pools, where it ran before.
      return { result, after: { state: result.state }, changed: result.changed || what === 'resume' };
    });
  }

  /** Both rows are known before it is sent: the audit has the change also where no answer comes. */
  private changeOptions(
    what: 'declare' | 'set',
    row: Row,
    later: Row,
    { why }: CommandOptions = {},
    effect: () => Promise<ReconfigureResult>,
  ): Promise<ReconfigureResult> {
    return announced(this.connections, { ...this.listed(what), ...this.difference(row, later), why }, async () => {
      const result = await effect();
      return { result, changed: result.changed };
    });
  }

  /** The options that differ, as `config` writes them. */
  private difference(row: Row, later: Row): { before?: Record<string, string>; after?: Record<string, string> } {
    const [was, becomes] = [valuesOf(this.settingsOf(row)), valuesOf(this.settingsOf(later))];
    const paths = Object.keys({ ...was, ...becomes }).filter((path) => was[path] !== becomes[path]);
    if (paths.length > 0) return { before: picked(was, paths), after: picked(becomes, paths) };
    // A job's SQL, say, which is not an option that is shown.
    return sameOptions(row.options, later.options) ? {} : { after: { definition: 'another one' } };
  }

  protected async require(): Promise<Row> {
    const row = await this.find();
    if (!row) throw await this.unknown();
    return row;
  }

  protected async unknown(): Promise<Error> {
    const names = (await this.connections.rows<{ name: string }>(this.kind.names)).map((row) => row.name);
    return new this.kind.Unknown(this.name, didYouMean(this.name, names), names);
  }

  /** @param options.long it may move a million members */
  protected update<Result, Args extends unknown[]>(
    definition: UpdateDefinition<Result, Args>,
    args: Args,
    options: { long?: boolean } = {},
  ): Promise<Result> {
    const { noun, workflowId, Stopped, Gone } = this.kind;
    const target = {
      workflowId: workflowId(this.name),
      noun: `${noun} '${this.name}'`,
      missing: async () => {
        const row = await this.find();
        if (!row) return this.unknown();
        return row.state === 'stopped' ? new Stopped(this.name) : new Gone(this.name);
      },
    };
    return command(this.connections, target, definition, args, options);
  }

  /** False when its root workflow runs already. */
  protected async startWorkflow(options: Options | undefined): Promise<boolean> {
    try {
      await this.connections.temporal((client) => this.startRoot(client, options));
      return true;
    } catch (error) {
      if (error instanceof temporalCommon().WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** Starts it and waits until a worker has opened it. One that was stopped a moment ago ends first. */
  protected async startAndOpen(options: Options | undefined): Promise<{ row: Row; started: boolean }> {
    let started = await this.startWorkflow(options);
    const deadline = Date.now() + START_MS;
    let mayHaveWorker = true;
    for (let round = 0; ; round++) {
      const row = await this.find();
      if (row && row.state !== 'stopped') return { row, started };
      started ||= await this.startWorkflow(options);
      await this.throwIfRefused();
      if (round === ASK_IN_ROUND) mayHaveWorker = await this.connections.workersPoll().catch(() => true);
      if (Date.now() > deadline || !mayHaveWorker) break;
      await sleep(round < 10 ? 50 : 250);
    }
    const what = `${this.kind.noun} '${this.name}' is started, and nobody has opened it yet`;
    if (!mayHaveWorker) throw new NoWorkerError(what, ' (it begins as soon as one does)');
    throw new TimedOutError(`${what}; see the worker's log`);
  }
}
