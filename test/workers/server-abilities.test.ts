/** What a worker says of its Temporal server. */
import { pino } from 'pino';
import { lookAtServer, shortcomings } from '../../workers/server-abilities';
import { Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';

test.each([
  ['1.28.3', true, [/is 1\.28\.3, older than 1\.29\.1/]],
  ['1.29.0', false, [/older than/, /does not accept updates/]],
  ['1.29.1', true, []],
  ['v1.30.0-rc.1', true, []],
  ['1.100.0', true, []],
  ['', true, []],
  ['cloud', true, []],
])('server %s, updates %s: %s', (version, updates, lines) => {
  const said = shortcomings({ version, updates });
  expect(said).toHaveLength(lines.length);
  lines.forEach((line, i) => expect(said[i]).toMatch(line));
});

test('a server of today gives no cause for a line', async () => {
  const stack = await Stack.start();
  const lines: string[] = [];
  try {
    const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) });
    await withTemporal(stack.servers, (client) => lookAtServer(client.connection, stack.servers.namespace, log));
    expect(lines).toEqual([]);
  } finally {
    await stack.close();
  }
});
