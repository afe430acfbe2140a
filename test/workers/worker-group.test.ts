/** The SDK's workers of one process: one that fails ends the others, they end in an order, and within a time. */
import { GracefulShutdownPeriodExpiredError } from '@temporalio/worker';
import { WorkerGroup, type SdkWorker, type Stage } from '../../workers/worker-group';

/** Ends when the test says so, once it was told to. */
class Fake implements SdkWorker {
  told = false;
  private state = 'INITIALIZED';
  private end!: (error?: Error) => void;

  constructor(
    readonly name: string,
    private readonly log: string[],
    private readonly endsAtOnce = true,
  ) {}

  run(): Promise<void> {
    this.state = 'RUNNING';
    return new Promise((resolve, reject) => {
      this.end = (error) => {
        this.state = error ? 'FAILED' : 'STOPPED';
        this.log.push(`${this.name} has ended`);
        if (error) reject(error);
        else resolve();
      };
    });
  }

  shutdown(): void {
    this.told = true;
    this.state = 'DRAINING';
    this.log.push(`${this.name} is told`);
    if (this.endsAtOnce) this.finish();
  }

  getState(): string {
    return this.state;
  }

  finish(error?: Error): void {
    this.end(error);
  }
}

let log: string[];
beforeEach(() => (log = []));

const fake = (name: string, endsAtOnce?: boolean): Fake => new Fake(name, log, endsAtOnce);
const stages = (shifts: Fake[], activities: Fake, workflows: Fake): Stage[] => [
  { what: 'shifts', workers: shifts, until: 0.4 },
  { what: 'activities', workers: [activities], until: 0.9 },
  { what: 'workflows', workers: [workflows], until: 1 },
];
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('shifts end first, then activities, and workflows when nothing else works any more', async () => {
  const [own, shared, activities, workflows] = [fake('own', false), fake('shared', false), fake('activities', false), fake('workflows')]; // prettier-ignore
  const group = new WorkerGroup(stages([own, shared], activities, workflows), 60_000);
  const ran = group.run();
  group.shutdown();
  group.shutdown();
  shared.finish();
  await turn();
  expect(log).toEqual(['own is told', 'shared is told', 'shared has ended']);
  own.finish();
  await turn();
  expect(log.slice(3)).toEqual(['own has ended', 'activities is told']);
  activities.finish();
  await ran;
  expect(log.slice(5)).toEqual(['activities has ended', 'workflows is told', 'workflows has ended']);
});

test.each(['own', 'activities', 'workflows'])('if the one for %s fails, the others end, and the group fails with its error', async (name) => {
  const workers = ['own', 'activities', 'workflows'].map((each) => fake(each));
  const failed = (error: Error) => log.push(`failed: ${error.message}`);
  const group = new WorkerGroup(stages([workers[0]!], workers[1]!, workers[2]!), 60_000, failed);
  const ran = group.run();
  await turn();
  expect(log).toEqual([]);
  workers.find((worker) => worker.name === name)!.finish(new Error('the namespace is gone'));
  await expect(ran).rejects.toThrow('the namespace is gone');
  expect(log.filter((line) => line.endsWith('has ended'))).toHaveLength(3);
  // Once, and before the others are told.
  expect(log.indexOf('failed: the namespace is gone')).toBe(1);
  expect(log.filter((line) => line.startsWith('failed'))).toHaveLength(1);
  expect(workers.filter(({ told }) => told)).toHaveLength(2);
}); // prettier-ignore

test('one that ends without having been told is a failure too', async () => {
  const workers = [fake('own'), fake('activities'), fake('workflows')];
  const ran = new WorkerGroup(stages([workers[0]!], workers[1]!, workers[2]!), 60_000).run();
  workers[0]!.finish();
  await expect(ran).rejects.toThrow("the SDK's worker for shifts ended by itself");
  expect(workers[2]!.told).toBe(true);
});

test('what does not end in its part of the time keeps the next ones from nothing, and what has not ended at last is left behind', async () => {
  const [own, activities, workflows] = [fake('own', false), fake('activities', false), fake('workflows')];
  const group = new WorkerGroup(stages([own], activities, workflows), 100);
  const ran = group.run();
  group.shutdown();
  const slow = setInterval(() => activities.told && own.getState() === 'DRAINING' && own.finish(), 1);
  await expect(ran).rejects.toMatchObject({ name: 'WorkLeftBehindError', what: ['activities'] });
  clearInterval(slow);
  // Shifts were late for the activities, and in time for the whole.
  expect(log).toEqual([
    'own is told',
    'activities is told',
    'own has ended',
    'workflows is told',
    'workflows has ended',
  ]);
});

test('a worker that the SDK has cut off is left behind as well', async () => {
  const [own, activities, workflows] = [fake('own'), fake('activities', false), fake('workflows')];
  const group = new WorkerGroup(stages([own], activities, workflows), 60_000);
  const ran = group.run();
  group.shutdown();
  await turn();
  activities.finish(new GracefulShutdownPeriodExpiredError('too late'));
  await expect(ran).rejects.toThrow(/left behind what did not end in time \(activities\).*another worker goes on/);
  expect(workflows.told).toBe(true);
});

test('a group that is told to end before it works has nothing to wait for', () => {
  const workers = [fake('own'), fake('activities'), fake('workflows')];
  new WorkerGroup(stages([workers[0]!], workers[1]!, workers[2]!), 60_000).shutdown();
  expect(log).toEqual([]);
});
