/**
 * The pools that a node is to keep, and its weight: made each second of the wishes of operators, of how well the
 * process does, and of the trackers that there are. Owned by `placing.ts`, which gives the settings to the placer.
 */
import { effectiveWeight, HEALTHY, isHot, nextHealth, trustOf, type Health } from '../placement/health';
import type { NodeSettings } from '../placement/placer';
import { kindOf } from '../placement/types';
import type { Wishes } from '../store/nodes';

const NO_WISHES: Wishes = { drained: false, drainedFor: [], target: null, weight: 1 };

export class Settings {
  private wishes = NO_WISHES;
  private health: Health = HEALTHY;
  private trust = 1;
  private hot = false;
  /** Trackers that are not stopped, with the label that a node needs for them. */
  private labels = new Map<string, string | undefined>();
  /** It has been told to end, or its name is another process's. */
  private leaving = false;
  /** Its process takes tasks: a pool that is given to one that does not yet would wait for it. */
  private taking = true;
  private cutOff = false;

  constructor(
    private readonly defines: ReadonlySet<string>,
    private readonly has: ReadonlySet<string>,
  ) {}

  get weight(): number {
    return this.wishes.weight;
  }
  get factors(): { health: number; trust: number } {
    return { health: this.health.factor, trust: this.trust };
  }

  /** Trackers of the cluster that this node's config does not have. */
  get lacks(): string[] {
    return [...this.labels.keys()].filter((tracker) => !this.defines.has(tracker)).sort();
  }

  wish(wishes: Wishes): void {
    this.wishes = wishes;
  }

  /** @param labels of all trackers that are not stopped */
  know(labels: ReadonlyMap<string, string | undefined>): void {
    this.labels = new Map(labels);
  }

  /** A tracker's row was read: it may be newer than what was known. */
  learn(tracker: string, label: string | undefined): void {
    this.labels.set(tracker, label);
  }

  leave(leaving: boolean): void {
    this.leaving = leaving;
  }

  take(taking: boolean): void {
    this.taking = taking;
  }

  /** @param cutOff Temporal does not answer it */
  reach(cutOff: boolean): void {
    this.cutOff = cutOff;
  }

  /**
   * @param lagMs how late the event loop ran
   * @param crashes of this name, when the process began
   */
  feel(lagMs: number, othersCanTake: boolean, crashes: number, upMs: number, nowMs: number): void {
    this.health = nextHealth(this.health, lagMs, othersCanTake, nowMs);
    this.hot = isHot(this.health, nowMs);
    this.trust = trustOf(crashes, upMs);
  }

  current(): NodeSettings {
    const { wishes } = this;
    return {
      weight: effectiveWeight(wishes.weight, this.health, this.trust),
      places: wishes.target ?? Infinity,
      loadLimit: Infinity,
      keeps: this.keeps(),
      up: !wishes.drained && !this.leaving && this.taking,
      hot: this.hot,
      cutOff: this.cutOff,
    };
  }

  private keeps(): Set<string> {
    const kinds = new Set<string>();
    for (const tracker of this.defines) {
      const label = this.labels.get(tracker);
      if (this.wishes.drainedFor.includes(tracker) || (label !== undefined && !this.has.has(label))) continue;
      kinds.add(kindOf(tracker, label));
    }
    return kinds;
  }
}
