/** A node's part in the history, on a real PostgreSQL: when it is tried again, and what is said. */
import { pino } from 'pino';
import { Clock } from '../../activities/tracker/shift/clock';
import { HistoryWriter } from '../../activities/tracker/shift/history';
import { database, sql } from '../series/series-kit';

test('a history that cannot be written is not tried again each second, and it is said once', async () => {
  const said: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
  const clock = new Clock();
  let now = 60_000 * Math.floor(clock.now() / 60_000);
  const writer = new HistoryWriter(database, { clock: Object.assign(clock, { now: () => now }), log });
  const asked = jest.spyOn(database, 'transaction');
  await sql('alter table longwatch.series_clock rename to hidden');
  try {
    for (let second = 0; second < 59; second += 10) {
      await writer.look();
      now += 10_000;
    }
    expect(asked).toHaveBeenCalledTimes(1);
    await writer.look();
    expect(asked).toHaveBeenCalledTimes(2);
    expect(said).toHaveLength(1);
  } finally {
    await sql('alter table longwatch.hidden rename to series_clock');
  }
});
