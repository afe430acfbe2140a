/** How far a bulk change is: a bar on a terminal, a line now and then elsewhere. Always on stderr. */
import { lazy } from './lazy';
import { count, remark } from './output';

/** Below this it is over before a bar could be read. */
const WORTH_IT = 5_000;
const LINE_MS = 2_000;

export class Progress {
  constructor(private readonly noun = 'ids') {}

  private bar?: { step: string; update: (value: number) => void; stop: () => void };
  private lineAt = Date.now();

  /** Give it to `onProgress` of an add or removal. */
  readonly show = ({ step, ids, total }: { step: string; ids: number; total: number }): void => {
    if (total < WORTH_IT) return;
    if (!process.stderr.isTTY) {
      if (ids < total && Date.now() - this.lineAt < LINE_MS) return;
      this.lineAt = Date.now();
      remark(`${count(ids)} of ${count(total)} ${this.noun} ${step}`);
      return;
    }
    if (this.bar?.step !== step) {
      this.stop();
      const { SingleBar, Presets } = lazy.progress();
      const bar = new SingleBar(
        {
          format: `{bar} {percentage} % | {value} of {total} ${this.noun} ${step} | {duration_formatted}`,
          hideCursor: true,
        },
        Presets.shades_classic,
      );
      bar.start(total, 0);
      this.bar = { step, update: (value) => bar.update(value), stop: () => bar.stop() };
    }
    this.bar.update(ids);
  };

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}
