/**
 * The events of durable activities: each is a counter and a log line with the same fields. Called by `execute.ts`
 * only; `docs/durable.md` has the table.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import type { Outcome } from './outcomes';

/** The fields of every event. */
export interface Subject {
  /** The workflow and its run. */
  workflow: string;
  run: string;
  task: string;
  activity: string;
  /** Attempts used, this one included; undefined where none was. */
  attempt?: number;
  /** The node that runs it. */
  executor: string;
  /** Temporal's id of the activity. */
  externalId: string;
  kind: 'activity' | 'compensation';
  key?: string;
  /** For a compensation: the task that it takes back. */
  target?: string;
}

export type DurableEvent =
  | { event: 'started' }
  | { event: 'completed'; durationMs: number }
  | { event: 'retried'; durationMs: number; nextAttempt: number; retryAt: string | null; error: string }
  | { event: 'failed'; durationMs: number; error: string }
  | { event: 'fenced'; action: Exclude<Outcome, 'raise'>; reason: string }
  /** A stored result was returned; `source` is the task that made it. */
  | { event: 'hit'; source: string }
  /** A key was used to ask for something else; `source` is the task that it belongs to. */
  | { event: 'other input'; source: string }
  /** A compensation did not run: another workflow relies on what it would take back. */
  | { event: 'relied on'; by: string }
  /** Another one holds the lease, or it was lost before the code ran; no attempt was used. */
  | { event: 'not run'; owner: string | null; reason: string };

const LEVELS = {
  started: 'debug',
  completed: 'debug',
  retried: 'warn',
  failed: 'error',
  fenced: 'warn',
  hit: 'debug',
  'not run': 'warn',
  'other input': 'warn',
  'relied on': 'info',
} as const;

const EVENTS = ['started', 'completed', 'retried', 'failed', 'hit'] as const;
/** Each of one kind only. */
const RARE = ['activity other input', 'compensation relied on'] as const;

export class DurableTelemetry {
  private readonly counters = new Map<string, Counter<'activity'>>();
  private readonly fenced: Counter<'activity' | 'action' | 'reason'>;
  private readonly notRun: Counter<'activity' | 'reason'>;
  private readonly seconds: Histogram<'activity'>;

  constructor(
    private readonly log: Logger,
    registry: Registry | undefined,
    leases: () => number,
  ) {
    const registers = registry ? [registry] : [];
    for (const kind of ['activity', 'compensation'] as const) {
      for (const event of EVENTS) {
        this.counters.set(
          `${kind} ${event}`,
          new Counter({
            name: `longwatch_${kind}_${event}_total`,
            help: `Durable ${kind === 'activity' ? 'activities' : 'compensations'}: ${event}`,
            labelNames: ['activity'],
            registers,
          }),
        );
      }
    }
    for (const name of RARE) {
      this.counters.set(
        name,
        new Counter({
          name: `longwatch_${name.replaceAll(' ', '_')}_total`,
          help: `Durable activities: ${name.replace(/^\w+ /, '')}`,
          labelNames: ['activity'],
          registers,
        }),
      );
    }
    this.fenced = new Counter({
      name: 'longwatch_activity_fenced_total',
      help: 'Writes of durable activities that were refused, by what followed and why',
      labelNames: ['activity', 'action', 'reason'],
      registers,
    });
    this.notRun = new Counter({
      name: 'longwatch_activity_not_run_total',
      help: 'Executions that did not run, because another one had the lease, the resource or the key',
      labelNames: ['activity', 'reason'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'longwatch_activity_duration_seconds',
      help: 'Time of an attempt, from the lease to its end',
      labelNames: ['activity'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    });
    new Gauge({
      name: 'longwatch_activity_leases',
      help: 'Leases of durable activities that this node holds',
      registers,
      collect() {
        this.set(leases());
      },
    });
  }

  emit(subject: Subject, event: DurableEvent): void {
    const { activity, kind } = subject;
    if (event.event === 'fenced') this.fenced.inc({ activity, action: event.action, reason: event.reason });
    else if (event.event === 'not run') this.notRun.inc({ activity, reason: event.reason });
    else this.counters.get(`${kind} ${event.event}`)?.inc({ activity });
    if ('durationMs' in event) this.seconds.observe({ activity }, event.durationMs / 1_000);
    const { event: name, ...fields } = event;
    this.log[LEVELS[name]]({ ...subject, ...fields }, messageOf(kind, event));
  }
}

function messageOf(kind: Subject['kind'], event: DurableEvent): string {
  if (event.event === 'fenced') return `${kind} fenced: ${event.action}`;
  if (event.event === 'not run') return `${kind} not run: ${event.reason.replaceAll('_', ' ')}`;
  return `${kind} ${event.event}`;
}
