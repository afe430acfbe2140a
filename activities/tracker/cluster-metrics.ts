/**
 * The metrics of a node's part in the cluster: what it keeps against its share, which pools came and went by placement,
 * and how many nodes there should be. Part of `telemetry.ts`; read from the node when they are asked for.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { PlacingEvent } from './shift/figures';
import type { Placing } from './shift/placing';

export class ClusterMetrics {
  private readonly events: Record<PlacingEvent, Counter<'tracker'>>;

  constructor(private readonly registry: Registry) {
    const counter = (name: string, help: string) =>
      new Counter({ name, help, labelNames: ['tracker'] as const, registers: [registry] });
    this.events = {
      moved: counter('longwatch_pool_moves_total', 'Pools that this node kept and gave to another one'),
      redirected: counter('longwatch_pool_redirects_total', 'Pools that came here and were handed on to another node'),
      declined: counter('longwatch_pool_declines_total', 'Pools that came here and that no node that lives may keep'),
      restarted: counter(
        'longwatch_pool_restarts_total',
        'Shifts that began here after an attempt that failed or was not heard of any more',
      ),
      fenced: counter('longwatch_fenced_total', 'Shifts that ended because a newer holder had their pool'),
    };
  }

  placed(what: PlacingEvent, tracker: string): void {
    this.events[what].inc({ tracker });
  }

  observe(placing: Placing): void {
    this.gauge('longwatch_node_load', 'Load of the pools that this node keeps, in fetches a second', () => {
      return placing.load().load;
    });
    this.gauge('longwatch_node_share', 'The load that this node should have, if pools could be divided', () => {
      return placing.load().share;
    });
    this.gauge('longwatch_node_weight', 'Its part against the others: what was set, times health, times trust', () => {
      return placing.placer.settings.weight;
    });
    this.gauge('longwatch_node_health', '1: its event loop keeps up; less: it was behind, and has less load', () => {
      return placing.settings.factors.health;
    });
    this.gauge('longwatch_node_places', 'Pools that this node is to keep at most; absent: no limit', () => {
      const { places } = placing.placer.settings;
      return Number.isFinite(places) ? places : undefined;
    });
    this.gauge('longwatch_node_up', '1: it takes pools; 0: it is drained, or ends', () => {
      return placing.placer.settings.up ? 1 : 0;
    });
    this.gauge(
      'longwatch_wanted_nodes',
      'How many nodes the cluster should have, as this node sees it; absent: it does not see the others',
      () => placing.wantedNodes(),
    );
  }

  /** @param read undefined: there is nothing to tell now */
  private gauge(name: string, help: string, read: () => number | undefined): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }
}
