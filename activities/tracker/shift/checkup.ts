/** The looks of a node after what it should warn of, in its log and its metrics: rounds that lag, members that wait. */
import type { NodeMetrics } from '../telemetry';
import type { Operation } from './host';
import type { PoolShift } from './pool-shift';

/** Rounds that have ended since the last look. */
export function lookAtRounds(ended: Iterable<Operation>, metrics: Pick<NodeMetrics, 'round'>): void {
  for (const loop of ended) {
    const lagMs = loop.rounds.lagWarning(loop.options.warnLagMs);
    metrics.round(loop);
    if (lagMs !== undefined) {
      loop.log.warn({ lagMs: Math.round(lagMs), members: loop.agenda.members }, 'a round lags behind');
    }
  }
}

/** The backlog of a shift. */
export function checkUp(shift: PoolShift): void {
  const rssMb = Math.round(process.memoryUsage.rss() / 2 ** 20);
  for (const loop of shift.loops.values()) {
    const { backlog, members } = loop.agenda;
    if (backlog > loop.options.warnBacklog) {
      loop.counts.warnedBacklog++;
      loop.log.warn({ backlog, members, rssMb }, 'more members are due than can be started');
    } else {
      loop.log.debug({ backlog, members, rssMb }, 'checkup');
    }
  }
}
