/**
 * The doctor's last word, for those who look every second: it asks Temporal and reads catalogs, and takes ten seconds
 * where Temporal is away, so it is asked now and then and not waited for. Used by `stream.ts`.
 */
import type { Diagnosis } from '../client/doctor/doctor';
import type { Longwatch } from '../client/longwatch';

const EVERY_MS = 10_000;
/** Nothing was looked at yet. */
const NOTHING: Diagnosis = { findings: [], unknown: [], checked: 0 };

export class LatestDiagnosis {
  private said = NOTHING;
  private askedAt = -Infinity;
  private asking = false;

  constructor(
    private readonly longwatch: Longwatch,
    private readonly onUnexpected: (error: unknown) => void,
  ) {}

  get(): Diagnosis {
    if (!this.asking && performance.now() - this.askedAt >= EVERY_MS) void this.ask();
    return this.said;
  }

  private async ask(): Promise<void> {
    this.asking = true;
    try {
      this.said = await this.longwatch.doctor();
    } catch (error) {
      // It should never fail: what cannot be read is not known. Nobody waits for this, so a check that fails all the
      // same would end the process, and the worker that may be in it.
      this.onUnexpected(error);
    } finally {
      this.asking = false;
      this.askedAt = performance.now();
    }
  }
}
