/**
 * A client that would write to Temporal in another way than the workers: in clear beside a codec, encoded where nobody
 * can read it.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { connect, defineBuffer, EncodingMismatchError } from '../../exports';
import { explain } from '../../cli/errors';
import { AesGcmCodec, keysFrom } from '../../examples/codec/aes-gcm';
import { Database } from '../../activities/lib/database';
import type { Longwatch } from '../../client/longwatch';
import { confirmEncoding } from '../../activities/lib/encoding';
import type { WorkerSetup } from '../../workers/worker';
import { runCli } from '../support/cli';
import { Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';

let stack: Stack;
beforeEach(async () => (stack = await Stack.start({ own: true })));
afterEach(() => stack.close());

const dataConverter = { payloadCodecs: [new AesGcmCodec(keysFrom(`a:${randomBytes(32).toString('base64')}`))] };
const plain: ConfigDefinition = {
  trackers: [{ name: 'people', shift: '2s', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }],
  buffers: [
    defineBuffer({ name: 'mails', shards: 1, retry: { attempts: 1 }, run: () => Promise.reject(new Error('none')) }),
  ],
};
const coded: ConfigDefinition = { ...plain, dataConverter };
// The tests' bundle has not the converters of a codec.
const own: Partial<WorkerSetup> = { workflowBundle: undefined };

async function refusal(config: ConfigDefinition, setup: Partial<WorkerSetup> = {}): Promise<string> {
  const error: unknown = await stack.worker(config, setup).then(
    () => undefined,
    (failed: unknown) => failed,
  );
  const { message, status, unexpected } = explain(error);
  expect([status, unexpected]).toEqual([1, false]);
  return message;
}

function client(converter?: typeof dataConverter): Promise<Longwatch> {
  const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
  return connect({ environment: { temporal: { address, namespace }, databaseUrl }, dataConverter: converter });
}

async function startAll(longwatch: Longwatch): Promise<void> {
  const { trackers, buffers } = resolveConfig(plain);
  await longwatch.tracker('people').start(trackers[0]!.options);
  await longwatch.buffer('mails').start(buffers[0]!.options);
}

const eventsOf = (...ids: string[]) =>
  withTemporal(stack.servers, async ({ workflow }) => {
    const histories = await Promise.all(ids.map((id) => workflow.getHandle(id).fetchHistory()));
    return histories.flatMap(({ events }) => events!).map((event) => JSON.stringify(event));
  });

test('beside workers with a codec, a client without one writes nothing and reads what it may; a worker without one does not start', async () => {
  await stack.worker(coded, own);
  const knowing = await client(dataConverter);
  await startAll(knowing);
  await knowing.buffer('mails').push([{ to: 'x' }], { wait: true });

  const without = await client();
  const writes: [string, () => Promise<unknown>][] = [
    ['push', () => without.buffer('mails').push([{ to: 'in-clear' }])],
    ['push, waited for', () => without.buffer('mails').push([{ to: 'in-clear' }], { wait: true })],
    ['a large push', () => without.buffer('mails').push([{ to: 'in-clear', text: 'x'.repeat(200_000) }])],
    ['add', () => without.tracker('people').add(['in-clear'])],
    ['pause', () => without.tracker('people').pause()],
    ['set', () => without.tracker('people').set({ 'operations.look.every': '2s' })],
    ['start', () => without.tracker('people').start(resolveConfig(plain).trackers[0]!.options)],
    ['dead retry', () => without.buffer('mails').dead.retry({}, { apply: true })],
    ['flush', () => without.buffer('mails').flush()],
  ];
  for (const [what, write] of writes) {
    const error: unknown = await write().catch((failed: unknown) => failed);
    expect([what, error]).toEqual([what, expect.any(EncodingMismatchError)]);
    expect(explain(error)).toEqual({
      status: 1,
      unexpected: false,
      message:
        'the workers encode what Temporal keeps, and nothing was sent in clear: give their codec here too ' +
        "(dataConverter in the config, connect({ dataConverter }), or LONGWATCH_DATA_CONVERTER=FILE for the command line's verbs)",
    });
  }
  expect((await without.tracker('people').status()).state).toBe('running');
  expect((await without.buffer('mails').status()).state).toBe('running');
  expect(await stack.sql(`select from longwatch.buffer_dead where op is not null`)).toEqual([]);
  expect((await runCli(stack, 'status')).status).toBe(0);
  expect(await runCli(stack, 'list', 'people')).toMatchObject({ status: 0, err: '' });
  expect((await runCli(stack, 'push', 'mails', '1')).err).toMatch(/LONGWATCH_DATA_CONVERTER=FILE/);
  const events = await eventsOf('tracker/people', 'buffer/mails', 'shard/mails/0');
  expect(events.filter((event) => event.includes(Buffer.from('in-clear').toString('base64').slice(0, -2)))).toEqual([]);
  await without.close();
  await knowing.close();

  expect(await refusal(plain)).toMatch(
    /^the workers of this database encode what Temporal keeps, and this one has no codec: give it their dataConverter/,
  );
});

test('the order: workers without a codec end first, then workers with one, then clients', async () => {
  const worker = await stack.worker(plain);
  const early = await client(dataConverter);
  await expect(startAll(early)).rejects.toThrow(
    /^the workers have no codec and could not read .* nothing was sent: start the workers with this dataConverter first/,
  );
  const old = await client();
  await startAll(old);
  expect(await refusal(coded, own)).toBe(
    `workers without a codec are running (${worker.node}) and could not read what this one encodes: end them first; ` +
      'one that was killed is forgotten after 15 seconds',
  );
  await worker.shutdown();
  await stack.worker(coded, own);
  // Its knowledge may be five seconds old.
  const later = jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 6_000);
  try {
    await early.tracker('people').add(['p'], { wait: true });
    await expect(old.tracker('people').add(['q'])).rejects.toThrow(EncodingMismatchError);
  } finally {
    later.mockRestore();
  }
  await early.close();
  await old.close();
});

test('a worker without a codec that started while one with a codec did ends as well', async () => {
  // One with a codec comes after this one has asked, and before its node is noted.
  await stack.sql(`create function longwatch.meanwhile() returns trigger language plpgsql as $$ begin
    update longwatch.deployment set encoded = true; return new; end $$`);
  await stack.sql(
    'create trigger meanwhile before insert on longwatch.node for each row execute function longwatch.meanwhile()',
  );
  expect(await refusal(plain)).toMatch(/this one has no codec/);
  const database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  await expect(confirmEncoding(database, false)).rejects.toThrow(/this one has no codec/);
  await confirmEncoding(database, true);
  await database.close();
});

test('the way back is a statement of docs/security.md', async () => {
  await (await stack.worker(coded, own)).shutdown();
  expect(await refusal(plain)).toMatch(/how to end encoding on purpose is in docs\/security\.md$/);
  const page = readFileSync(path.join(__dirname, '../../docs/security.md'), 'utf8');
  const [statement] = /update longwatch\.deployment set .*?;/.exec(page)!;
  await stack.sql(statement);
  await stack.worker(plain);
  const longwatch = await client();
  await startAll(longwatch);
  await longwatch.close();
});

test('while the database is away, a client goes by what it has heard; one that has heard nothing writes nothing', async () => {
  await stack.worker(plain);
  const old = await client();
  await startAll(old);
  await old.buffer('mails').push([0]);
  const fresh = await client();
  await stack.servers.kill('postgres');
  const later = jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 6_000);
  try {
    await expect(fresh.tracker('people').pause()).rejects.toThrow(/^the database at .* cannot be used/);
    await old.buffer('mails').push([1]);
  } finally {
    later.mockRestore();
    await stack.servers.start('postgres');
  }
  await fresh.close();
  await old.close();
});
