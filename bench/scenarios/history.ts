/**
 * The amount that Temporal has to keep: history events an id-hour. Ours: the events of whole shifts are counted in the
 * real histories while shifts are short, then taken as often as shifts of the default length come. Beside it a workflow
 * an id, which writes a timer and an activity each second.
 */
import { Client, Connection } from '@temporalio/client';
import { TRACKER_OPTIONS } from '../../workflows/tracker/options';
import type { Bench } from '../harness/bench';
import { defineScenario } from '../harness/scenario';
import { Watch } from '../tracker/watch';
import { PeerWorker } from '../peers/temporal/peer';

const IDS = 5_000;
const SHIFT_S = 10;
const SECONDS = 45;
const PEER_IDS = 20;
const PEER_SECONDS = 20;
const HOUR_S = 3_600;
const DEFAULT_SHIFT_S = Number(TRACKER_OPTIONS.find(({ name }) => name === 'shift')!.default) / 1_000;

export const scenario = defineScenario({
  title: `history events an id-hour of ${IDS} ids at 1 s, beside a workflow an id`,
  async run(bench) {
    const watch = await Watch.start(bench, { tracker: { shift: `${SHIFT_S}s` }, operation: { every: '1s' } });
    await watch.fill(IDS);
    const connection = await Connection.connect({ address: watch.stack.servers.temporalAddress });
    bench.defer(() => connection.close());
    const client = new Client({ connection });

    const { pools, shiftEvents } = await eventsOfShifts(bench, watch, client);
    const shiftsAnHour = HOUR_S / DEFAULT_SHIFT_S;
    const ours = (shiftEvents * shiftsAnHour * pools) / IDS;
    const peer = await eventsOfWorkflows(bench, watch, client);
    return [
      {
        measure: `events, ${IDS} ids in ${pools} pools, default shift of 10 min`,
        ours,
        unit: 'events/id-hour',
        reference: peer,
        referenceName: 'a workflow an id',
        target: '<= 0.2 events/id-hour',
        note:
          `ours: ${shiftEvents.toFixed(1)} events a shift, counted over ${SECONDS} s of shifts of ${SHIFT_S} s; an hour of default ` +
          `options has ${shiftsAnHour} shifts a pool. A workflow an id: ${PEER_IDS} of them over ${PEER_SECONDS} s. Both extrapolated`,
      },
    ];
  },
});

/** Everything that all workflows of the tracker wrote in a while, a shift. */
async function eventsOfShifts(
  bench: Bench,
  watch: Watch,
  client: Client,
): Promise<{ pools: number; shiftEvents: number }> {
  // Past the opening, and the first shifts, which have lengths of their own.
  await bench.sleep(2 * SHIFT_S * 1_000);
  const look = async () => {
    const pools = await watch.tracker.pools();
    const shifts = pools.reduce((sum, { shift }) => sum + (shift ?? 0), 0);
    return { pools: pools.length, shifts, events: await countEvents(client) };
  };
  const before = await look();
  bench.say(`counting the events of ${SECONDS} s`);
  await bench.sleep(SECONDS * 1_000);
  const after = await look();
  return { pools: after.pools, shiftEvents: (after.events - before.events) / (after.shifts - before.shifts) };
}

async function eventsOfWorkflows(bench: Bench, watch: Watch, client: Client): Promise<number> {
  bench.say(`counting the events of ${PEER_IDS} workflows, one an id`);
  const query = 'WorkflowType = "watchOne"';
  const peer = await PeerWorker.start(bench, watch.stack);
  await peer.watchOnes(client, PEER_IDS);
  await bench.sleep(3_000);
  const before = await countEvents(client, query);
  const began = performance.now();
  await bench.sleep(PEER_SECONDS * 1_000);
  const events = (await countEvents(client, query)) - before;
  return (events / PEER_IDS) * (HOUR_S / ((performance.now() - began) / 1_000));
}

/** Events of all runs there have been, closed ones included. */
async function countEvents(client: Client, query?: string): Promise<number> {
  let events = 0;
  for await (const { workflowId, runId } of client.workflow.list({ query })) {
    events += (await client.workflow.getHandle(workflowId, runId).describe()).historyLength;
  }
  return events;
}
