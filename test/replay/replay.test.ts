/**
 * Histories that were recorded on a real server (`record.ts`), replayed with today's workflow code: no command may
 * differ.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { historyFromJson } from './history-json';

interface Recorded {
  workflowId: string;
  history: {
    events: { eventType: string; activityTaskScheduledEventAttributes?: { activityType: { name: string } } }[];
  };
}

const HISTORIES = path.join(__dirname, 'histories');
const files = readdirSync(HISTORIES).filter((file) => file.endsWith('.json'));
const read = (file: string) => JSON.parse(readFileSync(path.join(HISTORIES, file), 'utf8')) as Recorded;

function replay({ history, workflowId }: Recorded): Promise<void> {
  const workflowBundle = { codePath: process.env.LONGWATCH_TEST_BUNDLE! };
  return Worker.runReplayHistory({ workflowBundle }, historyFromJson(history), workflowId);
}

beforeAll(() =>
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { filter: 'OFF' } },
  }),
);

test.each(files)('%s is replayed', async (file) => {
  await replay(read(file));
});

/** The activities and kinds of events that each part's histories must tell of. */
const PARTS: Record<string, { files: RegExp; activities: string[]; kinds: string[] }> = {
  trackers: {
    files: /^(tracker|pool)-/,
    activities: [
      'applyRoster',
      'declareOptions',
      'noteUnbegun',
      'openPool',
      'openTracker',
      'setOptions',
      'setTrackerState',
      'shift',
      'splitPools',
      'wakePools',
    ],
    kinds: [
      'ACTIVITY_TASK_CANCEL_REQUESTED',
      'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
      'WORKFLOW_EXECUTION_SIGNALED',
    ],
  },
  jobs: {
    files: /^job-/,
    activities: ['declareJob', 'openJob', 'pass', 'setJobOptions', 'setJobState'],
    kinds: ['ACTIVITY_TASK_CANCEL_REQUESTED', 'ACTIVITY_TASK_FAILED', 'TIMER_FIRED', 'WORKFLOW_EXECUTION_FAILED'],
  },
  buffers: {
    files: /^(buffer|shard)-/,
    activities: [
      'buryEntries',
      'declareBuffer',
      'fetchChunks',
      'findMissingShards',
      'openBuffer',
      'openShard',
      'readInitPage',
      'reportShard',
      'runBatch',
      'saveShard',
      'setBufferOptions',
      'setBufferState',
      'storeChunks',
      'takeDead',
    ],
    kinds: [
      'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED',
      'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
      'TIMER_FIRED',
      'WORKFLOW_EXECUTION_SIGNALED',
    ],
  },
};
const ENDS = [
  'WORKFLOW_EXECUTION_COMPLETED',
  'WORKFLOW_EXECUTION_CONTINUED_AS_NEW',
  'WORKFLOW_EXECUTION_UPDATE_COMPLETED',
];

test.each(Object.keys(PARTS))('the histories of %s tell of every activity, signal and end', (part) => {
  const told = PARTS[part]!;
  const activities = new Set<string>();
  const kinds = new Set<string>();
  for (const file of files.filter((name) => told.files.test(name))) {
    for (const event of read(file).history.events) {
      kinds.add(event.eventType.replace('EVENT_TYPE_', ''));
      const { activityTaskScheduledEventAttributes: scheduled } = event;
      if (scheduled) activities.add(scheduled.activityType.name);
    }
  }
  expect([...activities].sort()).toEqual(told.activities);
  expect([...kinds]).toEqual(expect.arrayContaining([...told.kinds, ...ENDS]));
});

test('a history of other commands is told from these', async () => {
  const recorded = read(files.find((file) => file.startsWith('pool-'))!);
  const scheduled = recorded.history.events.find((event) => event.activityTaskScheduledEventAttributes);
  scheduled!.activityTaskScheduledEventAttributes!.activityType.name = 'somethingElse';
  await expect(replay(recorded)).rejects.toThrow(/Nondeterminism/);
});
