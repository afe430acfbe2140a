/**
 * The parent of a buffer: its options and state, its shards, and its `init`. An operator's word arrives as an update
 * (`buffer-commands.ts`), is written by an activity and handed to the shards (`shards.ts`) as a signal; senders talk to
 * the shards themselves; `pages.ts` reads `init`. Started by the client; a patrol starts it again where it is missing.
 * Ends when the buffer is stopped.
 */
import { allHandlersFinished, condition, continueAsNew, proxyActivities, setHandler } from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';
import type { BufferActivities, BufferOpening } from './activities';
import { BufferCommands } from './buffer-commands';
import { BufferRun } from './buffer-run';
import {
  bufferStatusQuery,
  declareBufferUpdate,
  flushBufferUpdate,
  pauseBufferUpdate,
  reconfigureBufferUpdate,
  resumeBufferUpdate,
  roomSignal,
  stopBufferUpdate,
  wakeBufferSignal,
} from './contract';
import { Pages } from './pages';
import { Shards } from './shards';
import type { BufferInput } from './state';
import { BUFFER_TUNABLES } from './tunables';

const { openBuffer } = proxyActivities<BufferActivities>({
  startToCloseTimeout: BUFFER_TUNABLES.commandMs,
  retry: RETRY,
});

export async function buffer(input: BufferInput): Promise<void> {
  const workflow = new BufferWorkflow(input);
  workflow.listen();
  await workflow.decideAndCarryOut(await workflow.open());
}

class BufferWorkflow {
  private readonly run: BufferRun;
  private readonly shards: Shards;
  private readonly pages: Pages;
  private readonly commands: BufferCommands;
  /** A patrol has asked whether all shards are there. */
  private woken = false;

  constructor(private readonly input: BufferInput) {
    this.run = new BufferRun(input);
    this.shards = new Shards(this.run);
    this.pages = new Pages(this.run);
    this.commands = new BufferCommands(this.run, this.shards, this.pages);
  }

  /** Sets the handlers. Commands wait until the buffer is open, and for one another. */
  listen(): void {
    const { run, commands } = this;
    setHandler(pauseBufferUpdate, () => commands.pause());
    setHandler(resumeBufferUpdate, () => commands.resume());
    setHandler(stopBufferUpdate, () => commands.stop());
    setHandler(flushBufferUpdate, () => commands.flush());
    setHandler(declareBufferUpdate, (options) => commands.declare(options));
    setHandler(reconfigureBufferUpdate, (changes, expects) => commands.reconfigure(changes, expects), {
      validator: (...[changes]: [OptionChange[], number?]) => commands.refuseBad(changes),
    });
    setHandler(wakeBufferSignal, () => {
      this.woken = true;
      run.wake();
    });
    setHandler(roomSignal, (room) => this.pages.heard(room));
    setHandler(bufferStatusQuery, () => run.status());
  }

  /** Reads the buffer's row and starts its shards; the first page is read while they start. */
  async open(): Promise<BufferOpening> {
    const { run, pages } = this;
    const { name, state } = run;
    const opened = await openBuffer({ buffer: name, options: this.input.options, shards: state.shards });
    run.opened = opened;
    const ready = this.shards.open(opened);
    if (run.isFirst && !run.isStopped) {
      const { lastPage } = opened;
      // A page that a parent that was lost has read may not have reached its shards; those that have it ignore it.
      if (lastPage) Object.assign(state.init, lastPage);
      if (lastPage || pages.next(opened) === 'read') void pages.read(opened);
    }
    await ready;
    run.describe(opened);
    return opened;
  }

  /** The loop: decide, carry out, wait. */
  async decideAndCarryOut(opened: BufferOpening): Promise<void> {
    for (;;) {
      switch (this.next(opened)) {
        case 'end':
          return;
        case 'startShards':
          this.woken = false;
          await this.shards.start(opened);
          // One that goes on from before it was ended by force may have missed some.
          await this.shards.tellSettings(opened);
          break;
        case 'continueAsNew':
          await leaveWhenQuiet(
            () => this.mayLeave(opened),
            () => this.leave(),
          );
          break;
        case 'read':
          void this.pages.read(opened);
          break;
        case 'beginPass':
          this.pages.beginPass();
          break;
        case 'wait':
          await this.wait(opened);
          break;
      }
    }
  }

  private next(opened: BufferOpening): 'end' | 'startShards' | 'continueAsNew' | 'read' | 'beginPass' | 'wait' {
    if (this.mayEnd()) return 'end';
    if (this.woken) return 'startShards';
    if (this.mayLeave(opened)) return 'continueAsNew';
    const step = this.pages.next(opened);
    if (step === 'read' && (this.pages.isReading || isLeaving(opened))) return 'wait';
    return step;
  }

  private mayEnd(): boolean {
    return this.run.isStopped && !this.pages.isReading && allHandlersFinished();
  }

  private mayLeave(opened: BufferOpening): boolean {
    return isLeaving(opened) && !this.pages.isReading && !this.woken && allHandlersFinished();
  }

  private leave(): Promise<never> {
    const { name, state } = this.run;
    return continueAsNew<typeof buffer>({ buffer: name, state: { ...state, runs: state.runs + 1 } });
  }

  private async wait(opened: BufferOpening): Promise<void> {
    const { run, pages } = this;
    const seen = run.happenings;
    // A handler ends a moment after what it raised was seen, and that may be all that is missing.
    const happened = () => run.happenings !== seen || this.mayEnd() || this.mayLeave(opened);
    if (pages.untilMs === undefined) await condition(happened);
    else await condition(happened, Math.max(1, pages.untilMs - Date.now()));
  }
}

function isLeaving({ options }: BufferOpening): boolean {
  return historyFull(options.historyEvents);
}
