/** A run and what it leaves behind: nothing, however it ends. */
import { runScenario, type RunOptions } from '../../bench/harness/runner';
import type { Scenario } from '../../bench/harness/scenario';

const lines: string[] = [];
const options = (over: Partial<RunOptions> = {}): RunOptions => ({
  peers: false,
  signal: new AbortController().signal,
  say: (line) => lines.push(line),
  ...over,
});
beforeEach(() => lines.splice(0));

test('each run gets a bench of its own, and its lines say which run it is', async () => {
  const closed: string[] = [];
  let run = 0;
  const scenario: Scenario = {
    title: '',
    run: async (bench) => {
      const number = ++run;
      bench.defer(() => void closed.push(`first of ${number}`));
      bench.defer(() => void closed.push(`second of ${number}`));
      bench.say('measuring');
      return [{ measure: 'm', ours: number, unit: 'ms', note: 'by hand' }];
    },
  };
  const { results, notes } = await runScenario('some', scenario, options({ runs: 2 }));
  expect(results).toMatchObject([{ scenario: 'some', ours: 1.5, runs: 2 }]);
  expect(notes).toEqual(['some: by hand']);
  expect(closed).toEqual(['second of 1', 'first of 1', 'second of 2', 'first of 2']);
  expect(lines).toEqual(['some (1 of 2): measuring', 'some (2 of 2): measuring']);
});

test('when it fails, all is ended, also what fails to end', async () => {
  let closed = false;
  const scenario: Scenario = {
    title: '',
    run: async (bench) => {
      bench.defer(() => void (closed = true));
      bench.defer(() => Promise.reject(new Error('stuck')));
      throw new Error('broken');
    },
  };
  await expect(runScenario('some', scenario, options())).rejects.toThrow('broken');
  expect(closed).toBe(true);
  expect(lines).toEqual(['some: while ending: stuck']);
});

test('Ctrl-C ends a wait, and all that was started', async () => {
  const interrupted = new AbortController();
  let closed = false;
  const scenario: Scenario = {
    title: '',
    run: async (bench) => {
      bench.defer(() => void (closed = true));
      const waiting = bench.sleep(60_000);
      interrupted.abort();
      await waiting;
      return [];
    },
  };
  const ran = runScenario('some', scenario, options({ signal: interrupted.signal }));
  await expect(ran).rejects.toMatchObject({ name: 'AbortError' });
  expect(closed).toBe(true);
});
