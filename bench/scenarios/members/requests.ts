/** Requests: one at a time, alone and beside ids that are looked at; and many at once over many members. */
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { logBytes, logFlushes, runAll, sized, started, timed, timesOf } from './parts';

const IDS = 5_000;
const AT_ONCE = 64;
const WARM = { members: 100, zipf: false, seconds: 3, atOnce: 8, requestEvery: 1 };
const ONE = { members: 100, zipf: false, atOnce: 1, requestEvery: 1 };

export async function alone(bench: Bench): Promise<Reading[]> {
  const { stack, senders } = await started(bench);
  await runAll(senders, WARM);
  const [bytes, flushes] = [await logBytes(stack), await logFlushes(stack)];
  const [sent] = await runAll(senders, { ...ONE, seconds: timed(20) });
  const per = (before: number, after: number): number => (after - before) / sent!.count;
  const readings = timesOf('a request, one at a time, alone', sent!.requests, '<= 15 ms');
  readings.push(
    { measure: 'log of a request', ours: per(bytes, await logBytes(stack)), unit: 'B' },
    { measure: 'flushes of the log, a request', ours: per(flushes, await logFlushes(stack)), unit: 'flushes' },
  );
  await stack.close();
  return readings;
}

export async function beside(bench: Bench): Promise<Reading[]> {
  const { stack, senders } = await started(bench, { ids: IDS });
  await runAll(senders, WARM);
  const [sent] = await runAll(senders, { ...ONE, seconds: timed(20) });
  await stack.close();
  return timesOf(`a request, one at a time, beside ${IDS} ids at 1 s`, sent!.requests, '<= 30 ms');
}

export async function many(bench: Bench): Promise<Reading[]> {
  const members = sized(100_000);
  const { stack, senders } = await started(bench);
  await runAll(senders, { ...WARM, members });
  const plan = { members, zipf: true, seconds: timed(30), atOnce: AT_ONCE, requestEvery: 1 };
  const [sent] = await runAll(senders, plan);
  await stack.close();
  const measure = `requests, ${AT_ONCE} at once over ${members.toLocaleString('en-US')} members (Zipf 1.0)`;
  return [
    { measure, ours: sent!.count / sent!.seconds, unit: '/s', target: '>= 5,000 /s' },
    ...timesOf(measure, sent!.requests, '<= 100 ms'),
  ];
}
