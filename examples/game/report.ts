/**
 * The lines of the example while it runs: a line for each tick that has ended, with its band, and one of how the load
 * fared.
 */
import type { Longwatch, TickSummary } from 'longwatch';
import type { Load } from './load';

export class Report {
  private readonly shown = new Map<string, string>();

  constructor(
    private readonly longwatch: Longwatch,
    private readonly jobs: readonly string[],
    private readonly load: Load,
    private readonly print: (line: string) => void,
  ) {}

  /** Prints the ticks that have ended since the last look. @returns how many of them were this job's */
  async look(counted: string): Promise<number> {
    const ended = (await Promise.all(this.jobs.map((job) => this.endedOf(job)))).flat();
    ended.sort((a, b) => (a.tick.endedAt! < b.tick.endedAt! ? -1 : 1));
    for (const { job, tick } of ended) this.tell(job, tick);
    if (ended.length > 0) this.tellLoad();
    return ended.filter(({ job }) => job === counted).length;
  }

  private async endedOf(job: string): Promise<{ job: string; tick: TickSummary }[]> {
    const since = this.shown.get(job) ?? '';
    const ticks = (await this.longwatch.job(job).history(10)).filter(({ due }) => due > since);
    if (ticks[0]) this.shown.set(job, ticks[0].due);
    return ticks.map((tick) => ({ job, tick }));
  }

  private tell(job: string, { due, rows, ms, band, longestMs, elapsed, failed, by }: TickSummary): void {
    const facts = [
      `${rows.toLocaleString('en-US')} rows in ${(ms / 1_000).toFixed(2)} s`,
      band ?? 'no band',
      ...(longestMs === null ? [] : [`rows locked for ${longestMs.toFixed(0)} ms at most`]),
      ...(elapsed > 1 ? [`${elapsed} ticks in one`] : []),
      ...(failed > 0 ? [`${failed} FAILED`] : []),
      ...(by === 'hand' ? ['by hand'] : []),
    ];
    this.print(`${due.slice(11, 19)} ${job.padEnd(8)} ${facts.join('; ')}`);
  }

  /** Since it was told last. */
  private tellLoad(): void {
    const { acts, p50, p99 } = this.load.round();
    if (acts === 0) return;
    this.print(
      `         load     ${acts.toLocaleString('en-US')} acts, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
    );
  }
}
