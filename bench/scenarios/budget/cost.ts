/**
 * Processor time of a worker for one fetch with an upstream whose limits are not near, beside the same without limits:
 * two trackers of one worker take turns, so that the process and the machine are the same for both.
 */
import path from 'node:path';
import { loadConfig } from '../../../exports/worker';
import type { Bench } from '../../harness/bench';
import { median } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import { Upstream } from '../../tracker/upstream';
import { numbered } from '../../tracker/watch';

const CONFIG = path.join(__dirname, '../../budget/cost.config.ts');
/** Each is fetched once a second: what one worker of two cores has done with before the second is over. */
const IDS = 3_000;
const TURNS = Number(process.env.BENCH_TURNS ?? 5);
const SECONDS = 5;
const WARM_UP_MS = 3_000;
const SETTLE_MS = 2_500;

export async function cost(bench: Bench): Promise<Reading[]> {
  const upstream = await Upstream.start(bench, 0);
  const stack = await bench.stack();
  process.env.BENCH_ORIGIN = upstream.origin;
  const worker = stack.workerProcess(CONFIG, {}, ['--max-semi-space-size=8']);
  await worker.ready;
  const longwatch = await stack.connect();
  const { config } = await loadConfig(CONFIG);
  const trackers = config.trackers.map(({ name, options }) => ({ name, options, handle: longwatch.tracker(name) }));
  for (const { handle, options } of trackers) {
    await handle.start(options);
    await handle.add(numbered(IDS), { wait: true });
    await handle.pause();
  }
  const cpu = async (): Promise<number> => {
    const found = /^process_cpu_seconds_total\S* (\S+)/m.exec(await worker.metrics());
    return Number(found![1]);
  };
  const times: Record<string, number[]> = { plain: [], limited: [] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { name, handle } of trackers) {
      bench.say(`turn ${turn + 1} of ${TURNS}: ${name}`);
      await bench.sleep(SETTLE_MS);
      await handle.resume();
      await bench.sleep(WARM_UP_MS);
      const before = { cpu: await cpu(), served: await upstream.served() };
      await bench.sleep(SECONDS * 1_000);
      const after = { cpu: await cpu(), served: await upstream.served() };
      const served = after.served - before.served;
      times[name]!.push(((after.cpu - before.cpu) * 1e6) / served);
      bench.say(
        `${name}: ${Math.round(served / SECONDS)} fetches a second, ${times[name]!.at(-1)!.toFixed(0)} µs each`,
      );
      await handle.pause();
    }
  }
  await stack.close();
  const ratios = times.limited!.map((limited, turn) => limited / times.plain![turn]!);
  const plain = median(times.plain!);
  return [
    {
      measure: 'processor time of a fetch whose limits are not near',
      ours: plain * median(ratios),
      unit: 'µs',
      reference: plain,
      referenceName: 'without limits',
      target: 'ratio <= 1.03',
      note: 'limits: two limits, one of the address and one of each member; the ratio is the median of turns',
    },
  ];
}
