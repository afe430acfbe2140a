/**
 * The counters of members that receive, for Prometheus (`docs/metrics.md` has the table). Made by `telemetry.ts`; what
 * is in memory is read when it is asked for.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { EndedTurn } from '../member/ended';
import type { PoolTurns } from './pool';
import type { TurnEvents } from './node-turns';

const BY_TRACKER = ['tracker'] as const;

export class TurnMetrics implements TurnEvents {
  private readonly messages: Counter<'tracker' | 'outcome'>;
  private readonly redirects: Counter<'tracker'>;
  private readonly loads: Counter<'tracker'>;
  private readonly commitSeconds: Histogram;

  constructor(private readonly registry: Registry) {
    const registers = [registry];
    this.messages = new Counter({
      name: 'longwatch_member_messages_total',
      help: 'Messages, timers and values of operations that a member has handled, failed on, or dropped, as committed',
      labelNames: ['tracker', 'outcome'],
      registers,
    });
    this.redirects = new Counter({
      name: 'longwatch_member_redirects_total',
      help: 'Announcements of mail for pools that another node keeps by now, and that were told on',
      labelNames: BY_TRACKER,
      registers,
    });
    this.loads = new Counter({
      name: 'longwatch_member_loads_total',
      help: 'Members that were read from the database',
      labelNames: BY_TRACKER,
      registers,
    });
    this.commitSeconds = new Histogram({
      name: 'longwatch_member_commit_duration_seconds',
      help: 'Time of a commit of turns, from its beginning to its answer',
      buckets: [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1],
      registers,
    });
  }

  ended(tracker: string, { outcome }: EndedTurn): void {
    this.messages.inc({ tracker, outcome });
  }

  redirected(tracker: string): void {
    this.redirects.inc({ tracker });
  }

  loaded(tracker: string, members: number): void {
    this.loads.inc({ tracker }, members);
  }

  committed(turns: number, ms: number): void {
    if (turns > 0) this.commitSeconds.observe(ms / 1_000);
  }

  /** Lets the gauges read the pools of a node when they are asked. */
  observe(pools: () => Iterable<PoolTurns>, now: () => number): void {
    const gauge = (name: string, help: string, of: (pool: PoolTurns) => number, most = false): void => {
      new Gauge({
        name,
        help,
        labelNames: BY_TRACKER,
        registers: [this.registry],
        collect() {
          this.reset();
          const totals = new Map<string, number>();
          for (const pool of pools()) {
            const before = totals.get(pool.tracker) ?? 0;
            totals.set(pool.tracker, most ? Math.max(before, of(pool)) : before + of(pool));
          }
          for (const [tracker, total] of totals) this.set({ tracker }, total);
        },
      });
    };
    gauge(
      'longwatch_members_in_memory',
      'Members that receive in the memory of the node',
      ({ members }) => members.size,
    );
    gauge(
      'longwatch_member_mailbox_messages',
      'Messages in the memory of the node',
      ({ members }) => members.memory.entries,
    );
    gauge('longwatch_member_mailbox_bytes', 'Bytes of JSON of these messages', ({ members }) => members.memory.bytes);
    gauge(
      'longwatch_member_oldest_message_seconds',
      'The age of the oldest message in the memory of the node, handled or not, that is not committed',
      ({ members }) => Math.max(0, now() - members.oldestAt(now())) / 1_000,
      true,
    );
  }
}
