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
import { shardWorkflowId, type ShardSettings } from './contract';
import { shardBegan, shardCount } from './init';
import { shard as shardWorkflow } from './shard';
import type { BufferState } from './state';

const { findMissingShards } = proxyActivities<BufferActivities>({
  startToCloseTimeout: 30_000,
  retry: RETRY,
});

export class Shards {
  /** @param opened the buffer's row, undefined until it is read */
  constructor(
    private readonly buffer: string,
    private readonly state: BufferState,
    private readonly opened: () => BufferOpening | undefined,
  ) {}

  /**
   * Children that outlive their parent: what they hold must not end with it. Only those are started that the server has
   * not, or that ended by themselves: one started in place of one that was terminated would know nothing of what that
   * one held.
   * @returns the shards that were started here, with the present settings
   */
  async start(current: BufferOpening, known?: MissingShard[]): Promise<number[]> {
    const shards = (this.state.shards = shardCount(current.options, this.state.shards, current.shards ?? 0));
    const missing = known ?? (this.isStopped() ? [] : await findMissingShards({ buffer: this.buffer, shards }));
    const started = await Promise.all(missing.map((each) => this.startOne(current, each)));
    return missing.flatMap(({ shard }, i) => (started[i] ? [shard] : []));
  }

  /** False: it runs already, or the buffer was stopped meanwhile. */
  private async startOne(current: BufferOpening, { shard, kept, begin }: MissingShard): Promise<boolean> {
    if (this.isStopped()) return false;
    const orders = settingsOf(current);
    if (begin) shardBegan(this.state, shard);
    const input = { buffer: this.buffer, shard, orders, userState: current.options.state, reopen: kept };
    try {
      await CancellationScope.nonCancellable(() =>
        startChild(shardWorkflow, {
          workflowId: shardWorkflowId(this.buffer, shard),
          args: [begin ? { ...input, begin } : input],
          parentClosePolicy: ParentClosePolicy.ABANDON,
          staticSummary: `${this.buffer}, shard ${shard}`,
        }),
      );
      return true;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      return false;
    }
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
        await getExternalWorkflowHandle(shardWorkflowId(this.buffer, number)).signal(signal, ...args);
      } catch (error) {
        // The next wake starts a shard that is gone again, with these settings.
        gone.push(number);
        if (!this.isStopped()) log.warn('A shard could not be told', { buffer: this.buffer, shard: number, error });
      }
    };
    const all = Array.from({ length: this.state.shards }, (_, number) => number);
    await Promise.all(all.filter((number) => !except.includes(number)).map(tellOne));
    return gone;
  }

  private isStopped(): boolean {
    return this.opened()?.state === 'stopped';
  }
}

export function settingsOf({ options, state, version }: BufferOpening): ShardSettings {
  return { options, paused: state === 'paused', stopped: state === 'stopped', version };
}
