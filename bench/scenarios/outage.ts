/**
 * PostgreSQL is killed and comes back a while later, while entries are pushed at 1 MB/s to each of two buffers: one
 * that needs it for nothing, and one whose entries lie there. It measures the cost in history, what is handled
 * meanwhile, what senders are told, and that nothing which was accepted is lost. `OUTAGE_SECONDS=600` is the whole ten
 * minutes.
 */
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { BufferHandle } from '../../client/buffer/handle';
import { UsageError } from '../../cli/errors';
import { NAMES, outaged, SHARDS, type Name } from '../outage/definition';
import { growthOf, readHistory } from '../outage/history';
import { BYTES_A_SECOND, ENTRY_BYTES, Senders, TIMEOUT_MS } from '../outage/senders';
import type { Bench } from '../harness/bench';
import type { Child } from '../harness/child';
import { percentile } from '../harness/figures';
import { defineScenario, type Reading } from '../harness/scenario';

const DEFAULT_SECONDS = 60;
const SECONDS_AT_LEAST = 20;
/** The length of outage that the target is for. Seconds. */
const WHOLE_SECONDS = 600;
const BEFORE_MS = 15_000;
const RECOVER_MS = 180_000;

interface Side {
  name: Name;
  buffer: BufferHandle;
  senders: Senders;
  /** Handled: entries a second before and during the outage. */
  before: number;
  during: number;
  /** From PostgreSQL's return until all was handled. Milliseconds. */
  recovered: number;
}

/** Epoch milliseconds. */
interface Times {
  began: number;
  killed: number;
  half: number;
  back: number;
}

export const scenario = defineScenario({
  title: `PostgreSQL away for ${DEFAULT_SECONDS} s (OUTAGE_SECONDS=600: 10 min) at 1 MB/s of pushes, keyed and unkeyed`,
  async run(bench) {
    const seconds = outageSeconds(process.env.OUTAGE_SECONDS);
    const stack = await bench.stack({ synchronous: 'FULL' });
    const { temporalAddress, namespace, databaseUrl } = stack.servers;
    const worker = await bench.child(path.join(__dirname, '../outage/worker-process.ts'));
    await worker.call('start', temporalAddress, namespace, databaseUrl);
    const longwatch = await stack.connect();
    const connection = await Connection.connect({
      address: temporalAddress,
      // A page of a history that carries entries is larger than the usual 4 MB.
      channelArgs: { 'grpc.max_receive_message_length': -1 },
    });
    bench.defer(() => connection.close());
    const sides: Side[] = [];
    for (const [i, name] of NAMES.entries()) {
      const buffer = longwatch.buffer(name);
      await buffer.start(outaged.buffers[i]!.options);
      sides.push({ name, buffer, senders: new Senders(buffer), before: 0, during: 0, recovered: 0 });
    }

    bench.say('pushing, with PostgreSQL there');
    await bench.sleep(5_000);
    const began = Date.now();
    await rates(sides, worker, 'before', () => bench.sleep(BEFORE_MS));
    bench.say(`PostgreSQL is away for ${seconds} s`);
    await stack.servers.kill('postgres');
    const killed = Date.now();
    await rates(sides, worker, 'during', () => bench.sleep(seconds * 1_000));
    await stack.servers.start('postgres');
    const back = Date.now();
    bench.say('it is back');
    await Promise.all(
      sides.map(async (side) => {
        await side.senders.stop();
        await bench.until(`all entries of '${side.name}' are handled`, () => isHandled(side.buffer), RECOVER_MS);
        side.recovered = Date.now() - back;
      }),
    );
    const times = { began, killed, half: killed + (back - killed) / 2, back };
    const client = new Client({ connection, namespace });
    const readings: Reading[] = [];
    for (const side of sides) {
      readings.push(await historyOf(client, side, times));
      if (side.name === 'unkeyed') readings.push(rateOf(side));
      readings.push(...told(bench, side, times), ...(await counted(side, worker)), {
        measure: `${side.name}: from PostgreSQL's return until all is handled`,
        ours: side.recovered / 1_000,
        unit: 's',
      });
    }
    return readings;
  },
});

function outageSeconds(text: string | undefined): number {
  const seconds = text === undefined ? DEFAULT_SECONDS : Number(text);
  if (Number.isInteger(seconds) && seconds >= SECONDS_AT_LEAST) return seconds;
  throw new UsageError(
    `OUTAGE_SECONDS is '${text}'; it must be a whole number of seconds, ${SECONDS_AT_LEAST} at least (600 is the whole outage)`,
  );
}

/** The entries that each buffer handles a second meanwhile. */
async function rates(
  sides: readonly Side[],
  worker: Child,
  what: 'before' | 'during',
  meanwhile: () => Promise<void>,
): Promise<void> {
  const look = () => Promise.all(sides.map(({ name }) => worker.call<number>('handled', name)));
  const since = Date.now();
  const first = await look();
  await meanwhile();
  const last = await look();
  const seconds = (Date.now() - since) / 1_000;
  sides.forEach((side, i) => (side[what] = (last[i]! - first[i]!) / seconds));
}

async function isHandled(buffer: BufferHandle): Promise<boolean> {
  const { ageMs, pending, running } = await buffer.status();
  return ageMs === 0 && pending === 0 && running === 0;
}

/** The shard that has grown most. The cost of the same entries without an outage is read before it. */
async function historyOf(
  client: Client,
  { name, senders }: Side,
  { began, killed, half, back }: Times,
): Promise<Reading> {
  const accepted = (since: number, until: number): number => senders.count('accepted', since, until);
  const shards = await Promise.all(
    Array.from({ length: SHARDS }, async (_, shard) => {
      const history = await readHistory(client, `shard/${name}/${shard}`, began);
      const others = (since: number, until: number): number => {
        const { all, entries } = growthOf(history, since, until);
        return all - entries;
      };
      const usual = others(began, killed) / Math.max(1, accepted(began, killed));
      const beyond = (since: number, until: number): number => others(since, until) - usual * accepted(since, until);
      // The cost of the beginning comes once; the second half goes on to the end of the whole.
      const whole = Math.max(1, (WHOLE_SECONDS * 1_000 - (half - killed)) / (back - half));
      const all = growthOf(history, killed, back).all;
      return { all, beyond: beyond(killed, half) + beyond(half, back) * whole };
    }),
  );
  const seconds = Math.round((back - killed) / 1_000);
  const taken = (accepted(killed, back) * ENTRY_BYTES) / 1e6 / SHARDS;
  return {
    measure: `${name}: a shard's history in 10 min, beyond what is accepted and handled`,
    ours: Math.max(...shards.map(({ beyond }) => beyond)) / 1e6,
    unit: 'MB',
    target: '<= 1 MB',
    note:
      `${name}, history: of all events of the larger shard but those that bring and handle entries, less what as many entries had of them ` +
      `before; the first half of ${seconds} s as it was, the second as long as 10 min last. In all a shard's history grew by ` +
      `${(Math.max(...shards.map(({ all }) => all)) / 1e6).toFixed(2)} MB in these ${seconds} s, while ${taken.toFixed(2)} MB were accepted a shard`,
  };
}

function rateOf({ name, before, during }: Side): Reading {
  return {
    measure: `${name}: entries handled a second while PostgreSQL is away`,
    ours: during,
    unit: '/s',
    reference: before,
    referenceName: 'before',
    target: 'ratio >= 0.9',
    note: `pushed: ${BYTES_A_SECOND / ENTRY_BYTES} entries a second to each buffer, of ${ENTRY_BYTES} bytes`,
  };
}

/** How long senders were held, and what they were told. */
function told(bench: Bench, { name, senders }: Side, { killed, back }: Times): Reading[] {
  const those = senders.pushes.filter(({ beganAt, settledAt }) => settledAt >= killed && beganAt < back);
  const took = those.map(({ beganAt, settledAt }) => settledAt - beganAt);
  const errors = senders.pushes.filter((push) => push.told === 'error');
  for (const error of new Set(errors.map((push) => push.error))) bench.say(`${name}: a push ended in ${error}`);
  return [
    {
      measure: `${name}: accepted meanwhile`,
      ours: (senders.count('accepted', killed, back) * ENTRY_BYTES) / 1e6,
      unit: 'MB',
      reference: ((back - killed) * BYTES_A_SECOND) / 1e9,
      referenceName: 'as far as not held',
    },
    { measure: `${name}: a sender is held, p50`, ours: percentile(took, 0.5) / 1_000, unit: 's' },
    {
      measure: `${name}: a sender is held, the longest (it gave ${TIMEOUT_MS / 1_000} s)`,
      ours: Math.max(...took) / 1_000,
      unit: 's',
      target: `<= ${TIMEOUT_MS / 1_000 + 0.5} s`,
    },
    { measure: `${name}: pushes with another error`, ours: errors.length, unit: '', target: '<= 0' },
  ];
}

/** That the counts hold, and that what senders were told is true. */
async function counted({ name, buffer, senders }: Side, worker: Child): Promise<Reading[]> {
  const { accepted, done, dead, pending } = await buffer.status();
  const yes = senders.count('accepted');
  const unknown = senders.count('unknown') + senders.count('error');
  const handled = await worker.call<number>('handledOf', name, senders.ranges('accepted'));
  const untrue = await worker.call<number>('handledOf', name, senders.ranges('refused'));
  return [
    {
      measure: `${name}: accepted less done, dead and pending`,
      ours: Math.abs(accepted - done - dead - pending),
      unit: 'entries',
      target: '<= 0 entries',
    },
    {
      measure: `${name}: accepted to a sender and not handled`,
      ours: yes - handled,
      unit: 'entries',
      target: '<= 0 entries',
      note: `${name}: ${yes} entries were accepted to their senders, ${senders.count('refused')} refused, of ${unknown} it was not known; the shards counted ${accepted}`,
    },
    {
      measure: `${name}: refused to a sender and handled all the same`,
      ours: untrue,
      unit: 'entries',
      target: '<= 0 entries',
    },
  ];
}
