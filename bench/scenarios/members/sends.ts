/** Messages from eight programs for ten minutes, and members that are made by their first one. */
import type { Bench } from '../../harness/bench';
import { percentile } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import { logBytes, runAll, sized, started, timed, waiting } from './parts';

const SENDERS = 8;
const PER_SECOND = 10_000;
/** Each so-many-th message is a request: its answer says that all before it to that member are handled. */
const REQUEST_EVERY = 100;

export async function send(bench: Bench): Promise<Reading[]> {
  const members = sized(100_000);
  const seconds = timed(600);
  const { stack, senders } = await started(bench, { senders: SENDERS });
  const before = await logBytes(stack);
  const began = performance.now();
  const plan = { members, zipf: false, seconds, atOnce: 2_000, requestEvery: REQUEST_EVERY };
  const all = await runAll(senders, { ...plan, perSecond: PER_SECOND / SENDERS });
  const count = all.reduce((sum, sent) => sum + sent.count, 0);
  const accepted = count / Math.max(...all.map((sent) => sent.seconds));
  await bench.until('all are handled', async () => (await waiting(stack)) === 0, 300_000);
  const handled = count / ((performance.now() - began) / 1_000);
  const bytes = (await logBytes(stack)) - before;
  const minute = Math.min(60, seconds / 2) * 1_000;
  const requests = all.flatMap((sent) => sent.requests);
  const first = requests.filter(({ at }) => at < minute).map(({ ms }) => ms);
  const last = requests.filter(({ at }) => at >= seconds * 1_000 - minute).map(({ ms }) => ms);
  await stack.close();
  return [
    { measure: `messages of ${SENDERS} programs, accepted`, ours: accepted, unit: '/s' },
    { measure: 'the same, handled with their states written', ours: handled, unit: '/s', target: `>= 10,000 /s` },
    { measure: 'log of a message', ours: bytes / count, unit: 'B' },
    {
      measure: 'from a message to its turn and back, p95 of the last minute',
      ours: percentile(last, 0.95),
      unit: 'ms',
      reference: percentile(first, 0.95),
      referenceName: 'first minute',
      target: 'ratio <= 1.50',
      note: `of each ${REQUEST_EVERY}th message, which is a request`,
    },
  ];
}

export async function spawn(bench: Bench): Promise<Reading[]> {
  const members = sized(100_000);
  const { stack, senders } = await started(bench, { senders: 2 });
  const began = performance.now();
  const part = Math.ceil(members / senders.length);
  const spawning = senders.map((sender, at) => sender.call('spawn', at * part, Math.min(members, (at + 1) * part)));
  await Promise.all(spawning);
  await bench.until(
    'all members are there',
    async () => {
      const [row] = await stack.sql<{ n: number }>(
        `select count(*)::int as n from longwatch.life where tracker = 'rooms' and state is not null`,
      );
      return row!.n >= members;
    },
    300_000,
  );
  const seconds = (performance.now() - began) / 1_000;
  await stack.close();
  const measure = `${members.toLocaleString('en-US')} members made by their first message`;
  return [{ measure, ours: seconds, unit: 's', target: '<= 30 s' }];
}
