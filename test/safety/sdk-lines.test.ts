/** The SDK's own log, whose lines a process has in one place: not beside tests of other workers' logs. */
import { Runtime } from '@temporalio/worker';
import { pino } from 'pino';
import { serializers } from '../../activities/lib/log';
import { installRuntime } from '../../workers/runtime';
import { HALF_TASK } from '../../workflows/interceptors';
import { eventually } from '../support/stack';

const heard: string[] = [];
beforeAll(() =>
  installRuntime(pino({ level: 'trace', serializers }, { write: (line: string) => void heard.push(line) })),
);
afterAll(() => Runtime.instance().shutdown());

test('a query that is refused because it came too early is not a warning', async () => {
  const failure = (message: string) => ({ failure: `Failure { failure: Some(Failure { message: "${message}" }) }` });
  Runtime.instance().logger.warn('Failing legacy query request', failure(HALF_TASK));
  Runtime.instance().logger.warn('Failing legacy query request', failure('there is no such query'));
  const levels = await eventually('both are there', () => {
    const lines = heard.filter((line) => line.includes('legacy query'));
    return lines.length === 2 && lines.map((line) => (JSON.parse(line) as { level: number }).level);
  });
  expect(levels).toEqual([20, 40]);
});

test('a task that cannot be begun is logged without the task, which has its input', async () => {
  // As the SDK says it (`Error while processing ActivityTask.start`).
  const task = JSON.stringify({ start: { input: ['p5@example.com'] } });
  const error = new Error('there is no such activity');
  Runtime.instance().logger.error('it failed', { error, task, taskEncoded: Buffer.from(task).toString('base64') });
  const line = await eventually('the line is there', () => heard.find((one) => one.includes('it failed')));
  const shown = Object.keys(JSON.parse(line) as object);
  expect(shown.filter((name) => name.startsWith('task'))).toEqual([]);
  expect(line).toContain('there is no such activity');
  expect(line).not.toContain('p5@example');
});
