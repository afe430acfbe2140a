/**
 * The bad days of the cluster, one after the other: each kind (`kinds.ts`) once, then any, each of a node that is drawn
 * from a seed. Each is noted with its times, so that `gaps.ts` can say which waits are its doing. Called by `main.ts`.
 */
import type { Fault } from './gaps';
import type { Kind, Scene } from './kinds';

export class BadDays {
  readonly faults: Fault[] = [];
  /** Bad days that could not be carried out. */
  readonly failed: string[] = [];
  private under: Promise<void>[] = [];
  private count = 0;
  private longOne: Promise<void> | undefined;

  constructor(
    private readonly scene: Scene,
    private readonly kinds: readonly Kind[],
    private readonly draw: () => number,
    private readonly tell: (line: string) => void,
  ) {}

  /** Each kind once, whatever the seed, then any. Only one that leaves another node at work. */
  next(): void {
    const { kinds, scene } = this;
    if (this.longOne) return;
    const well = scene.nodes.filter(({ isReady, isSick }) => isReady && !isSick);
    if (well.length < Math.min(2, scene.nodes.length)) return;
    const kind = kinds[this.count < kinds.length ? this.count : Math.floor(this.draw() * kinds.length)]!;
    this.count++;
    const node = well[Math.floor(this.draw() * well.length)]!;
    const hit = { one: [node.name], all: scene.nodes.map(({ name }) => name), none: [] }[kind.hits];
    this.tell(kind.hits === 'one' || kind.name === 'drain' ? `${kind.name}: ${node.name}` : kind.name);
    const day = this.note(kind.name, hit, kind.hits === 'all', () => kind.happen(scene, node));
    if (kind.isLong) this.longOne = day.then(() => (this.longOne = undefined));
    const { follows } = kind;
    this.under.push(follows ? day.then(() => this.note(follows.name, hit, false, () => follows.happen(scene))) : day);
  }

  /** Never rejects. */
  private async note(
    kind: string,
    nodes: readonly string[],
    isOutage: boolean,
    happen: () => Promise<void>,
  ): Promise<void> {
    const fault: Fault = { kind, nodes, isOutage, at: Date.now(), until: Infinity };
    this.faults.push(fault);
    try {
      await happen();
    } catch (error) {
      this.failed.push(`${kind} (${nodes.join(', ')}): ${(error as Error).message}`);
    }
    fault.until = Date.now();
  }

  /** Resolves when frozen nodes go on and drained ones are back. */
  async over(): Promise<void> {
    await Promise.all(this.under);
  }
}
