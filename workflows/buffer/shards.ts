/**
 * The shards of a buffer, as its parent sees them: it starts those that are missing, and tells all of them what an
 * operator has said. Made by `buffer.ts`; next: `shard.ts`.
 */
import {
  CancellationScope,
  getExternalWorkflowHandle,
  log,
  ParentClosePolicy,
  proxyActivities,
  startChild,
  type SignalDefinition,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { RETRY } from '../lib/retry';
import type { BufferActivities, BufferOpening, MissingShard } from './activities';
import type { BufferRun } from './buffer-run';
import { settingsSignal, shardWorkflowId, type ShardSettings } from './contract';
import { shardBegan, shardCount } from './init';
import { shard as shardWorkflow } from './shard';
import { BUFFER_TUNABLES } from './tunables';

const { findMissingShards } = proxyActivities<BufferActivities>({
  startToCloseTimeout: BUFFER_TUNABLES.commandMs,
  retry: RETRY,
});

export class Shards {
  constructor(private readonly run: BufferRun) {}

  /** Starts the shards that the opening found missing, and tells all of them the present settings. */
  async open(opened: BufferOpening): Promise<void> {
    const { version } = opened;
    const started = await this.start(opened, opened.missing);
    if (!this.run.isFirst) return;
    // One that was stopped a moment ago may have ended in between. The shards that were started know, but for what was
    // said since.
    const gone = await this.tellSettings(opened, {}, opened.version === version ? started : []);
    if (gone.length > 0) await this.start(opened);
  }

  /**
   * Children that outlive their parent: what they hold must not end with it. Only those are started that the server has
   * not, or that ended by themselves: one started in place of one that was terminated would know nothing of what that
   * one held.
   * @returns the shards that were started here, with the present settings
   */
  async start(opened: BufferOpening, known?: MissingShard[]): Promise<number[]> {
    const { name: buffer, state, isStopped } = this.run;
    const shards = (state.shards = shardCount(opened.options, state.shards, opened.shards ?? 0));
    const missing = known ?? (isStopped ? [] : await findMissingShards({ buffer, shards }));
    const started = await Promise.all(missing.map((each) => this.startOne(opened, each)));
    return missing.flatMap(({ shard }, i) => (started[i] ? [shard] : []));
  }

  /** False: it runs already, or the buffer was stopped meanwhile. */
  private async startOne(opened: BufferOpening, { shard, kept, begin }: MissingShard): Promise<boolean> {
    const { name: buffer, state, isStopped } = this.run;
    if (isStopped) return false;
    if (begin) shardBegan(state, shard);
    const input = { buffer, shard, orders: settingsOf(opened), userState: opened.options.state, reopen: kept };
    try {
      await CancellationScope.nonCancellable(() =>
        startChild(shardWorkflow, {
          workflowId: shardWorkflowId(buffer, shard),
          args: [begin ? { ...input, begin } : input],
          parentClosePolicy: ParentClosePolicy.ABANDON,
          staticSummary: `${buffer}, shard ${shard}`,
        }),
      );
      return true;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      return false;
    }
  }

  /** Tells the shards what they go by now. @returns those that could not be told */
  tellSettings(opened: BufferOpening, more: { lift?: true } = {}, except?: readonly number[]): Promise<number[]> {
    return this.tell(settingsSignal, [{ ...settingsOf(opened), ...more }], except);
  }

  /** @returns the shards that could not be told */
  async tell<Args extends unknown[]>(
    signal: SignalDefinition<Args>,
    args: Args,
    except: readonly number[] = [],
  ): Promise<number[]> {
    const gone: number[] = [];
    const tellOne = async (number: number): Promise<void> => {
      try {
        await getExternalWorkflowHandle(shardWorkflowId(this.run.name, number)).signal(signal, ...args);
      } catch (error) {
        // The next wake starts a shard that is gone again, with these settings.
        gone.push(number);
        if (!this.run.isStopped) log.warn('A shard could not be told', { buffer: this.run.name, shard: number, error });
      }
    };
    const all = Array.from({ length: this.run.state.shards }, (_, number) => number);
    await Promise.all(all.filter((number) => !except.includes(number)).map(tellOne));
    return gone;
  }
}

function settingsOf({ options, state, version }: BufferOpening): ShardSettings {
  return { options, paused: state === 'paused', stopped: state === 'stopped', version };
}
