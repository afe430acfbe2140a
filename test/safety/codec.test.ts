/**
 * Codecs that fail, on live workers: a wrong key, one that throws, one that does not answer. Nothing is lost, nothing
 * stands in clear, no worker ends.
 */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { Client } from '@temporalio/client';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { pino } from 'pino';
import { connect, defineActivity, defineBuffer, defineConfig } from '../../exports';
import { explain } from '../../cli/errors';
import { AesGcmCodec, keysFrom } from '../../examples/codec/aes-gcm';
import { bundleWorkflows } from '../../workers/bundle';
import { wholeConverter } from '../../config/data-converter';
import { GuardedCodec } from '../../config/guarded-codec';
import { FAILURE_MARK } from '../../workflows/lib/encoded-failures';
import { eventually, Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';
import { resolveConfig } from '../../config/resolve/config';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

const SECRET = 'hunter2';
type Mode = 'works' | 'throws' | 'hangs';

/** A codec that can be broken. */
class Breakable implements PayloadCodec {
  readonly mode: Record<'encode' | 'decode', Mode> = { encode: 'works', decode: 'works' };
  failed = 0;
  constructor(private readonly inner: PayloadCodec) {}

  encode(payloads: Payload[]): Promise<Payload[]> {
    return this.through('encode', payloads);
  }
  decode(payloads: Payload[]): Promise<Payload[]> {
    return this.through('decode', payloads);
  }
  private through(way: 'encode' | 'decode', payloads: Payload[]): Promise<Payload[]> {
    if (this.mode[way] === 'works') return this.inner[way](payloads);
    this.failed++;
    if (this.mode[way] === 'throws') return Promise.reject(new Error('the key server is away'));
    return new Promise(() => undefined);
  }
}

/** It takes nothing in clear. */
class Strict extends AesGcmCodec {
  override decode(payloads: Payload[]): Promise<Payload[]> {
    const clear = payloads.some(({ metadata }) => metadata?.['encryption-key-id'] === undefined);
    return clear ? Promise.reject(new Error('something is in clear')) : super.decode(payloads);
  }
}

const NOT_AN_ERROR: unknown = 'x';
const rejected = async (thrown: unknown): Promise<never> => {
  throw thrown;
};
const bytes = (text: string): Uint8Array => Buffer.from(text);
const payload = (text: string, metadata: Record<string, Uint8Array> = {}): Payload => ({
  metadata: { encoding: bytes('json/plain'), ...metadata },
  data: bytes(JSON.stringify(text)),
});

describe('the guard', () => {
  const limits = { codecMs: 30, failureMs: 20 };
  const of = (codec: Partial<PayloadCodec>) =>
    new GuardedCodec(
      [{ encode: (all) => Promise.resolve(all), decode: (all) => Promise.resolve(all), ...codec }],
      limits,
    );

  test.each<[what: string, encode: PayloadCodec['encode'], says: RegExp]>([
    ['throws', () => Promise.reject(new Error('no key')), /could not encode, so nothing was written: no key$/],
    [
      'throws at once',
      () => {
        throw new Error('no key');
      },
      /could not encode, so nothing was written: no key$/,
    ],
    ['throws nothing that is an error', () => rejected(NOT_AN_ERROR), /nothing was written: x$/],
    ['does not answer', () => new Promise(() => undefined), /nothing was written: no answer within 0\.03 s$/],
    ['gives back fewer', () => Promise.resolve([]), /it must give back as many payloads as it got \(1\)$/],
    ['gives back nothing', () => Promise.resolve(undefined as never), /it must give back as many payloads/],
    ['gives back no payloads', () => Promise.resolve([null as never]), /it must give back as many payloads/],
  ])('a codec that %s is said to have failed, in one line', async (_what, encode, says) => {
    const thrown: unknown = await of({ encode })
      .encode([payload(SECRET)])
      .catch((error: unknown) => error);
    expect(explain(thrown)).toEqual({ status: 1, unexpected: false, message: expect.stringMatching(says) as string });
    expect((thrown as Error).stack).not.toContain(SECRET);
    await expect(of({ decode: encode }).decode([payload(SECRET)])).rejects.toThrow(
      /^the payload codec could not decode .*; has it the keys/,
    );
  });

  test('what went wrong is encoded without its mark; where that fails too, a fixed sentence stands there, which nobody decodes', async () => {
    const marked = payload(SECRET, { [FAILURE_MARK]: bytes('1') });
    const seen: Payload[] = [];
    const encode = (all: Payload[]) => (seen.push(...all), Promise.resolve(all));
    await of({ encode }).encode([marked]);
    expect(seen).toEqual([payload(SECRET)]);
    const broken = of({
      encode: () => Promise.reject(new Error('away')),
      decode: () => Promise.reject(new Error('strict')),
    });
    const said = await broken.encode([marked, marked]);
    expect(JSON.stringify(said.map(({ data }) => Buffer.from(data!).toString()))).not.toContain(SECRET);
    expect(await broken.decode(said)).toEqual(said);
    // A mixture is not of a failure alone.
    await expect(broken.encode([marked, payload(SECRET)])).rejects.toThrow(/nothing was written/);
    // A client without a key can make up nothing but that sentence.
    const made = said.map((one) => ({ ...one, data: bytes('{"message":"made up"}') }));
    expect(await broken.decode(made)).toEqual(said);
    const order = of({ decode: (all) => Promise.resolve(all.map(() => payload('decoded'))) });
    expect(await order.decode([payload('a'), said[0]!, payload('b')])).toEqual([
      payload('decoded'),
      said[0],
      payload('decoded'),
    ]);
  });
});

describe('a live worker', () => {
  const key = randomBytes(32).toString('base64');
  const aes = (keys: string) => new Strict(keysFrom(keys));
  const other = randomBytes(32).toString('base64');
  const mine = { payloadCodecs: [aes(`mine:${key}`)] };
  const ran: string[] = [];
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  let stack: Stack;
  let folder: string;
  let bundle: string;
  let refuseNow: (() => void) | undefined;

  const config = (payloadCodecs: PayloadCodec[]) =>
    defineConfig({
      dataConverter: { payloadCodecs },
      buffers: [
        defineBuffer({
          name: 'mails',
          shards: 1,
          flushInterval: '20ms',
          run: (entries: { to: string }[]) => {
            ran.push(...entries.map(({ to }) => to));
            return Promise.resolve();
          },
        }),
      ],
      activities: [
        defineActivity({
          name: 'book',
          run: (input: { name: string }) => Promise.resolve(input),
          compensate: () => Promise.resolve(),
        }),
        defineActivity({
          name: 'refuse',
          retry: { attempts: 1 },
          run: (_input: null): Promise<null> =>
            new Promise((_, reject) => (refuseNow = () => reject(new Error(`${SECRET} was refused`)))),
        }),
      ],
      workflows: path.join(__dirname, '../examples/codec/workflows.ts'),
    });

  beforeAll(async () => {
    stack = await Stack.start();
    folder = mkdtempSync(path.join(tmpdir(), 'longwatch-codec-'));
    bundle = path.join(folder, 'bundle.js');
    writeFileSync(bundle, await bundleWorkflows(config([]).workflows, log, wholeConverter(mine)));
  });
  afterAll(async () => {
    await stack.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    ran.length = 0;
    lines.length = 0;
  });

  const running: Awaited<ReturnType<Stack['worker']>>[] = [];
  const worker = async (codec: PayloadCodec) => {
    const one = await stack.worker(config([codec]), { workflowBundle: bundle, log });
    running.push(one);
    return one;
  };
  afterEach(async () => {
    for (const one of running.splice(0)) await one.shutdown();
  });
  const client = (payloadCodecs: PayloadCodec[] = mine.payloadCodecs) => {
    const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
    return connect({
      environment: { temporal: { address, namespace }, databaseUrl },
      dataConverter: { payloadCodecs },
    });
  };
  const options = () => resolveConfig(config(mine.payloadCodecs)).buffers[0]!.options;

  async function nothingInClear(...ids: string[]): Promise<void> {
    await withTemporal(stack.servers, async ({ workflow }) => {
      for (const id of ids) {
        const text = clearTextOf(await workflow.getHandle(id).fetchHistory());
        expect([id, text.filter((one) => one.includes(SECRET))]).toEqual([id, []]);
      }
    });
    const encoded = Buffer.from(SECRET).toString('base64').slice(0, -2);
    expect(lines.filter((line) => line.includes(SECRET) || line.includes(encoded))).toEqual([]);
  }

  test.each<[way: 'encode' | 'decode', mode: Mode]>([
    ['decode', 'throws'],
    ['encode', 'throws'],
    ['decode', 'hangs'],
    ['encode', 'hangs'],
  ])(
    'whose codec does not %s (%s) says so, goes on, and does all of it when the codec works again',
    async (way, mode) => {
      const codec = new Breakable(aes(`mine:${key}`));
      const node = await worker(codec);
      let ended = false;
      void node.ended.finally(() => (ended = true));
      const longwatch = await client();
      await longwatch.buffer('mails').start(options());
      codec.mode[way] = mode;
      codec.failed = 0;
      await longwatch.buffer('mails').push(['a', 'b'].map((to) => ({ to: `${SECRET}-${to}` })));
      await eventually('it is tried', () => codec.failed >= 2);
      await eventually('the log says that it was the codec', () =>
        lines.some((line) => line.includes(`the payload codec could not ${way}`)),
      );
      codec.mode[way] = 'works';
      await eventually('all of it is done', () => new Set(ran).size >= 2);
      expect([...new Set(ran)].sort()).toEqual([`${SECRET}-a`, `${SECRET}-b`]);
      expect(ended).toBe(false);
      await longwatch.buffer('mails').stop();
      await longwatch.close();
      await node.shutdown();
      await nothingInClear('buffer/mails', 'shard/mails/0');
    },
  );

  test('where even an activity’s failure cannot be encoded, its worker goes on, and the history says that it was the codec', async () => {
    const codec = new Breakable(aes(`mine:${key}`));
    const node = await worker(codec);
    let ended = false;
    void node.ended.finally(() => (ended = true));
    await withTemporal(stack.servers, async (plain) => {
      const coded = new Client({
        connection: plain.connection,
        namespace: stack.servers.namespace,
        dataConverter: mine,
      });
      const trip = await coded.workflow.start('trip', { workflowId: 'trip', taskQueue: 'longwatch', args: [SECRET] });
      await eventually('the activity runs', () => refuseNow);
      codec.mode.encode = 'throws';
      refuseNow!();
      await eventually('its failure is told', () => codec.failed > 0);
      codec.mode.encode = 'works';
      await expect(trip.result()).rejects.toThrow();
      const text = clearTextOf(await plain.workflow.getHandle('trip').fetchHistory());
      expect(
        text.filter((one) => one.includes('could not be encoded: the payload codec failed')).length,
      ).toBeGreaterThan(0);
    });
    expect(ended).toBe(false);
    await node.shutdown();
    // The message itself, which the user's code has made, is in the log of its worker.
    lines.length = 0;
    await nothingInClear('trip');
  });

  test('what was accepted right before a shard is terminated is read through the codec, and is there once', async () => {
    const node = await worker(aes(`mine:${key}`));
    const longwatch = await client();
    await longwatch.buffer('mails').start(options());
    await longwatch.buffer('mails').pause();
    await longwatch.buffer('mails').push([{ to: `${SECRET}-1` }], { wait: true });
    await longwatch.buffer('mails').push([{ to: `${SECRET}-2` }], { wait: true, front: true });
    await withTemporal(stack.servers, async ({ workflow }) => {
      for (const id of ['shard/mails/0', 'buffer/mails']) await workflow.getHandle(id).terminate('by hand');
    });
    await longwatch.buffer('mails').start();
    await longwatch.buffer('mails').resume();
    await eventually('both are done', () => ran.length >= 2);
    expect(ran).toEqual([`${SECRET}-2`, `${SECRET}-1`]);
    await longwatch.buffer('mails').stop();
    await longwatch.close();
    await node.shutdown();
    await nothingInClear('buffer/mails', 'shard/mails/0');
  });

  test('with a wrong key names the key, and does no harm: with the right one, all is done', async () => {
    const longwatch = await client();
    const first = await worker(aes(`mine:${key}`));
    await longwatch.buffer('mails').start(options());
    await longwatch.buffer('mails').pause();
    await longwatch.buffer('mails').push([{ to: `${SECRET}-kept` }], { wait: true });
    await first.shutdown();
    const wrong = await worker(aes(`other:${other}`));
    await longwatch.buffer('mails').push([{ to: `${SECRET}-new` }]);
    await eventually('the log names the key', () =>
      lines.some((line) => line.includes('could not decode what is in Temporal: there is no key mine')),
    );
    await wrong.shutdown();
    const right = await worker(aes(`mine:${key},other:${other}`));
    await longwatch.buffer('mails').resume();
    await eventually('all is done', () => ran.length >= 2);
    expect([...ran].sort()).toEqual([`${SECRET}-kept`, `${SECRET}-new`]);
    await longwatch.buffer('mails').stop();
    await longwatch.close();
    await right.shutdown();
    await nothingInClear('buffer/mails', 'shard/mails/0');
  });
});

/** Every text and every byte of a history, as one could read it. */
function clearTextOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('latin1')];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(clearTextOf);
}
