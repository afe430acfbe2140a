/**
 * Ages and times as people read them, by the clock that has dated them: the database's. The terminal may stand on a
 * machine with another one. Used by the verbs that show when something was.
 */
import type { Longwatch } from '../client/longwatch';
import { age } from './output';

export class Times {
  /** @param nowMs the time of the database, epoch milliseconds */
  constructor(private readonly nowMs: number) {}

  /** `3 min` */
  since(at: string): string {
    return age(Math.max(0, this.nowMs - Date.parse(at)));
  }

  /** `3 min ago` */
  ago(at: string | null): string {
    return at === null ? 'never' : `${this.since(at)} ago`;
  }

  /** Milliseconds until then; 0 or less: it is past. */
  leftMs(until: string): number {
    return Date.parse(until) - this.nowMs;
  }

  /** A time of today by the hour, another one by its date too; both in UTC, as all times of the library. */
  clock(at: string): string {
    const [date, hour] = [at.slice(0, 10), at.slice(11, 19)];
    return date === new Date(this.nowMs).toISOString().slice(0, 10) ? hour : `${date} ${hour}`;
  }
}

/**
 * Ask it after what is shown: nothing of that is then in the future.
 * @param of `written` where that does not come from a replica, which may be away
 */
export async function timesOf(longwatch: Pick<Longwatch, 'now'>, of: { written?: boolean } = {}): Promise<Times> {
  return new Times(Date.parse(await longwatch.now(of)));
}
