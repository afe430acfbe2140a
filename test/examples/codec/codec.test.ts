/**
 * The example codec by itself and by its server; and with it in the config, no history of Longwatch's has anything in
 * clear.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { connect } from '../../../exports';
import { explain } from '../../../cli/errors';
import { AesGcmCodec, keysFrom } from '../../../examples/codec/aes-gcm';
import { codecServer } from '../../../examples/codec/server';
import { resolveEnvironment } from '../../../config/environment';
import { defineBuffer, defineConfig, defineTracker } from '../../../exports';
import { book, refuse, SECRET } from './activities';
import { connectTemporal } from '../../../client/temporal-client';
import { runCli } from '../../support/cli';
import { eventually, Stack } from '../../support/stack';
import { withTemporal } from '../../support/temporal';
import { resolveConfig } from '../../../config/resolve/config';

const key = (): string => randomBytes(32).toString('base64');
const OLD = key();
const NEW = key();
const codecOf = (keys: string) => new AesGcmCodec(keysFrom(keys));
const payload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);

describe('the codec', () => {
  test('gives back what it was given, shows nothing of it, and never the same twice', async () => {
    const codec = codecOf(`a:${OLD}`);
    const [one, two] = await codec.encode([payload({ secret: 'hunter2' }), payload({ secret: 'hunter2' })]);
    expect(Buffer.from(one!.data!).toString('latin1')).not.toContain('hunter2');
    expect(Buffer.from(one!.data!)).not.toEqual(Buffer.from(two!.data!));
    expect((await codec.decode([one!])).map((opened) => defaultPayloadConverter.fromPayload(opened))).toEqual([
      { secret: 'hunter2' },
    ]);
    // From the time before there was a codec.
    expect(await codec.decode([payload(1)])).toEqual([payload(1)]);
  });

  test('keys are rotated: the first encrypts, each that is there decrypts, one that is gone is named', async () => {
    const before = await codecOf(`old:${OLD}`).encode([payload('x')]);
    const rotated = codecOf(`new:${NEW},old:${OLD}`);
    expect(defaultPayloadConverter.fromPayload((await rotated.decode(before))[0]!)).toBe('x');
    const after = await rotated.encode([payload('y')]);
    await expect(codecOf(`old:${OLD}`).decode(after)).rejects.toThrow(/there is no key new/);
  });

  test('a payload that was changed is refused, its key id too', async () => {
    const codec = codecOf(`a:${OLD},b:${OLD}`);
    const [sealed] = await codec.encode([payload('x')]);
    const data = Buffer.from(sealed!.data!);
    data[data.length - 1]! ^= 1;
    await expect(codec.decode([{ ...sealed, data }])).rejects.toThrow();
    const metadata = { ...sealed!.metadata, 'encryption-key-id': Buffer.from('b') };
    await expect(codec.decode([{ ...sealed, metadata }])).rejects.toThrow();
  });

  test.each(['', 'a', 'a:', `a:${Buffer.from('short').toString('base64')}`])('keys %j are refused', (keys) => {
    expect(() => codecOf(keys)).toThrow(TypeError);
  });
});

test('its server speaks Temporal’s protocol, to the UI’s pages alone', async () => {
  const codec = codecOf(`a:${OLD}`);
  const server = codecServer(codec, { origins: ['http://ui'], token: 't' }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = (way: string, body: string, headers: Record<string, string>) =>
    fetch(url + way, { method: 'POST', body, headers });
  try {
    const clear = JSON.stringify({
      payloads: [
        {
          metadata: { encoding: Buffer.from('json/plain').toString('base64') },
          data: Buffer.from('"x"').toString('base64'),
        },
      ],
    });
    const headers = { authorization: 'Bearer t', origin: 'http://ui' };
    const sealed = await (await ask('/encode', clear, headers)).text();
    expect(sealed).not.toContain(Buffer.from('"x"').toString('base64'));
    expect(JSON.parse(await (await ask('/decode', sealed, headers)).text())).toEqual(JSON.parse(clear));
    expect((await ask('/decode', sealed, { ...headers, origin: 'http://evil' })).status).toBe(403);
    expect((await ask('/decode', sealed, { origin: 'http://ui' })).status).toBe(401);
    expect((await ask('/decode', '{', headers)).status).toBe(400);
  } finally {
    server.close();
  }
});

test('a profile that names a codec server is refused where no codec is given', async () => {
  const environment = resolveEnvironment(
    { address: '127.0.0.1:1', databaseUrl: 'postgres://u@127.0.0.1:1/x' },
    { env: { TEMPORAL_CODEC_ENDPOINT: 'http://codec', HOME: '/nonexistent' } },
  );
  expect(environment.temporal.codecEndpoint).toBe('http://codec');
  const failed: unknown = await connectTemporal(environment.temporal).catch((error: unknown) => error);
  expect(explain(failed)).toEqual({
    status: 2,
    unexpected: false,
    message: expect.stringMatching(/name a codec server.*dataConverter/) as string,
  });
  await expect(connect({ environment, dataConverter: { payloadCodecs: [{}] } as never })).rejects.toThrow(
    /payloadCodecs\.0 must have/,
  );
});

describe('with it in the config', () => {
  let stack: Stack;
  beforeAll(async () => (stack = await Stack.start()));
  afterAll(() => stack.close());

  test('the histories of a tracker, its pool, a buffer, its shard and a saga have nothing in clear', async () => {
    const tried: string[] = [];
    const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-codec-'));
    const file = path.join(folder, 'longwatch.config.js');
    const config = defineConfig({
      dataConverter: { payloadCodecs: [codecOf(`new:${NEW},old:${OLD}`)] },
      trackers: [
        defineTracker({
          name: 'people',
          shift: '2s',
          operations: { look: { every: '500ms', run: () => ({ value: SECRET }) } },
        }),
      ],
      buffers: [
        defineBuffer({
          name: 'mails',
          shards: 1,
          flushInterval: '50ms',
          retry: { attempts: 1, base: '10ms' },
          run: (entries) => {
            tried.push(...entries.map((entry) => JSON.stringify(entry)));
            throw new Error(`${SECRET} is not a mailbox`);
          },
        }),
      ],
      activities: [book, refuse],
      workflows: path.join(__dirname, 'workflows.ts'),
    });
    await stack.worker(config, { workflowBundle: undefined });
    const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
    const environment = { temporal: { address, namespace }, databaseUrl };
    const longwatch = await connect({ environment, dataConverter: config.dataConverter });
    const resolved = resolveConfig(config);
    try {
      await longwatch.tracker('people').start(resolved.trackers[0]!.options);
      await longwatch.tracker('people').add([`${SECRET}-id`], { wait: true });
      await longwatch.buffer('mails').start(resolved.buffers[0]!.options);
      await longwatch.buffer('mails').push([{ to: SECRET }]);
      await eventually(
        'the value is there',
        async () => (await longwatch.tracker('people').show(`${SECRET}-id`)).values[0]?.value === SECRET,
      );
      await eventually(
        'a dead letter is there',
        async () => (await longwatch.buffer('mails').dead.list()).length === 1,
      );
      expect(tried.join()).toContain(SECRET);
      // From the command line too, with the config's own codec.
      writeFileSync(
        file,
        `const { AesGcmCodec, keysFrom } = require(${JSON.stringify(require.resolve('../../../examples/codec/aes-gcm'))});
         module.exports = { dataConverter: { payloadCodecs: [new AesGcmCodec(keysFrom('new:${NEW}'))] },
           buffers: [{ name: 'mails', run: () => [] }] };`,
      );
      const pushed = await runCli(stack, 'push', 'mails', JSON.stringify({ to: SECRET }), '--config', file, '--wait');
      expect(pushed).toMatchObject({ status: 0, err: '' });

      await withTemporal(stack.servers, async (plain) => {
        const payloadCodecs = config.dataConverter!.payloadCodecs;
        const coded = new Client({ connection: plain.connection, namespace, dataConverter: { payloadCodecs } });
        await coded.workflow.start('trip', { workflowId: 'trip', taskQueue: 'longwatch', args: [SECRET] });
        await expect(plain.workflow.getHandle('trip').result()).rejects.toThrow();
        for (const id of ['tracker/people', 'pool/people/0', 'buffer/mails', 'shard/mails/0', 'trip']) {
          const history = await plain.workflow.getHandle(id).fetchHistory();
          const text = clearTextOf(history);
          expect(history.events!.length).toBeGreaterThan(3);
          expect([id, text.filter((one) => one.includes(SECRET))]).toEqual([id, []]);
        }
      });
      // Its old rows can still be read: by whoever has the keys, and by nobody else.
      expect((await longwatch.tracker('people').status()).state).toBe('running');
      const without = await connect({ environment });
      const failed: unknown = await without
        .tracker('people')
        .pause()
        .catch((error: unknown) => error);
      await without.close();
      expect(explain(failed)).toMatchObject({
        status: 1,
        unexpected: false,
        message: expect.stringMatching(/LONGWATCH_DATA_CONVERTER/) as string,
      });
    } finally {
      await longwatch.close();
      rmSync(folder, { recursive: true });
    }
  });
});

/** Every text and every byte of a history, as one could read it. */
function clearTextOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('latin1')];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(clearTextOf);
}
