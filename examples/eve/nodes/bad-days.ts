/**
 * The bad days of the nodes, one after the other, each of a node that is drawn from a seed. Each is noted with its
 * time, so that `gaps.ts` can say which waits are its doing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Longwatch } from 'longwatch';
import type { Fault } from './gaps';
import type { NodeProcess } from './processes';

/** Longer than the heartbeat time-out: its pools are elsewhere when it goes on. */
const FROZEN_MS = 8_000;
const DRAINED_MS = 5_000;

const KINDS = ['kill -9', 'drain', 'freeze', 'rebalance'] as const;
type Kind = (typeof KINDS)[number];

export class BadDays {
  readonly faults: Fault[] = [];
  /** Bad days that could not be carried out. */
  readonly failed: string[] = [];
  private under: Promise<void>[] = [];
  private count = 0;

  constructor(
    private readonly nodes: readonly NodeProcess[],
    private readonly longwatch: Longwatch,
    private readonly draw: () => number,
    private readonly tell: (line: string) => void,
  ) {}

  /** Each kind once, whatever the seed, then any. Only one that leaves another node at work. */
  next(): void {
    const well = this.nodes.filter(({ isReady, isFrozen }) => isReady && !isFrozen);
    if (well.length < 2) return;
    const kind = KINDS[this.count < KINDS.length ? this.count : Math.floor(this.draw() * KINDS.length)]!;
    this.count++;
    const node = well[Math.floor(this.draw() * well.length)]!;
    const fault: Fault = { kind, node: node.name, at: Date.now(), hard: kind === 'kill -9' || kind === 'freeze' };
    this.faults.push(fault);
    this.tell(kind === 'rebalance' ? kind : `${kind} of ${node.name}`);
    this.under.push(
      this.happen(kind, node).catch((error: unknown) => {
        this.failed.push(`${kind} of ${node.name}: ${(error as Error).message}`);
      }),
    );
  }

  /** Resolves when frozen nodes go on and drained ones are back. */
  async over(): Promise<void> {
    await Promise.all(this.under);
  }

  private async happen(kind: Kind, node: NodeProcess): Promise<void> {
    switch (kind) {
      case 'kill -9':
        return node.kill();
      case 'freeze':
        return node.freeze(FROZEN_MS);
      case 'drain': {
        const why = 'the example empties it';
        await this.longwatch.node(node.name).drain({ why });
        await delay(DRAINED_MS);
        await this.longwatch.node(node.name).resume({ why });
        return;
      }
      case 'rebalance':
        await this.longwatch.rebalance({ why: 'the example asks for it' });
    }
  }
}
