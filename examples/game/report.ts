/** What the example shows while it runs: a line for each tick that has ended, with its band, and one of how the load fared. */
import type { Longwatch } from '../../client/longwatch';
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
    let count = 0;
    let ended = 0;
    for (const job of this.jobs) {
      const since = this.shown.get(job) ?? '';
      const ticks = (await this.longwatch.job(job).history(10)).filter(({ due }) => due > since);
      for (const { due, rows, ms, band, longestMs, elapsed, failed } of ticks.reverse()) {
        this.shown.set(job, due);
        if (job === counted) count += 1;
        ended += 1;
        const facts = [
          `${rows.toLocaleString('en-US')} rows in ${(ms / 1_000).toFixed(2)} s`,
          band ?? 'no band',
          ...(longestMs === null ? [] : [`rows locked for ${longestMs.toFixed(0)} ms at most`]),
          ...(elapsed > 1 ? [`${elapsed} ticks in one`] : []),
          ...(failed > 0 ? [`${failed} FAILED`] : []),
        ];
        this.print(`${due.slice(11, 19)} ${job.padEnd(8)} ${facts.join('; ')}`);
      }
    }
    if (ended > 0) this.tellLoad();
    return count;
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
