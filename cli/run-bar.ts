/** How far a run in the foreground is: a bar on a terminal, a line now and then elsewhere. Always on stderr. */
import type { RunProgress } from '../client/job/handle';
import { lazy } from './lazy';
import { count, remark } from './output';

/** A run that is over sooner needs no bar. Milliseconds. */
const SHOW_AFTER_MS = 500;
const LINE_MS = 2_000;

export class RunBar {
  private readonly startedAt = Date.now();
  private lineAt = Date.now();
  private bar?: { update: (value: number, payload: object) => void; stop: () => void };

  /** Give it to `onProgress` of a run. */
  readonly show = ({ rows, share }: RunProgress): void => {
    if (Date.now() - this.startedAt < SHOW_AFTER_MS) return;
    if (!process.stderr.isTTY) {
      if (Date.now() - this.lineAt < LINE_MS) return;
      this.lineAt = Date.now();
      return remark(`${count(rows)} rows, ${Math.round(share * 100)} %`);
    }
    if (!this.bar) {
      const { SingleBar, Presets } = lazy.progress();
      const bar = new SingleBar(
        { format: '{bar} {percentage} % | {rows} rows | {duration_formatted}', hideCursor: true },
        Presets.shades_classic,
      );
      bar.start(100, 0, { rows: '0' });
      this.bar = bar;
    }
    this.bar.update(Math.round(share * 100), { rows: count(rows) });
  };

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}
