/**
 * A codec server, for Temporal's web UI and CLI to show what the codec has encrypted: Temporal's protocol,
 * `POST /encode` and `/decode` with `{ payloads }` as JSON. Run it next to the person who looks, not next to Temporal:
 * whoever may call it can read everything, so it listens on this machine alone, answers that UI's pages alone, and can
 * ask for a token.
 *
 *     CODEC_KEYS=… npx tsx examples/codec/server.ts   # http://127.0.0.1:8888, for the UI at http://localhost:8233
 *
 * In the UI: the glasses at the top right; `temporal --codec-endpoint http://127.0.0.1:8888`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { AesGcmCodec, keysFrom } from './aes-gcm';

const { Payload: Wire, Payloads } = temporal.api.common.v1;
const MOST_BYTES = 32 * 2 ** 20;

export interface CodecServerOptions {
  /** Pages that may ask: where the UI is served. */
  origins: readonly string[];
  /** The token that `Authorization: Bearer …` must have. @default nothing is asked for */
  token?: string;
}

export function codecServer(codec: PayloadCodec, options: CodecServerOptions): Server {
  return createServer((request, response) => {
    answer(codec, options, request, response).catch((error: unknown) => {
      response
        .writeHead(400, { 'content-type': 'text/plain' })
        .end(error instanceof Error ? error.message : 'it failed');
    });
  });
}

async function answer(
  codec: PayloadCodec,
  { origins, token }: CodecServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { origin, authorization } = request.headers;
  if (origin !== undefined && !origins.includes(origin)) return void response.writeHead(403).end();
  if (origin !== undefined) {
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-allow-methods', 'POST');
    response.setHeader('access-control-allow-headers', 'content-type,x-namespace,authorization');
    response.setHeader('access-control-allow-credentials', 'true');
  }
  if (request.method === 'OPTIONS') return void response.writeHead(204).end();
  if (token !== undefined && authorization !== `Bearer ${token}`) return void response.writeHead(401).end();
  const way = request.url === '/encode' ? 'encode' : request.url === '/decode' ? 'decode' : undefined;
  if (request.method !== 'POST' || way === undefined) return void response.writeHead(404).end();
  const given = JSON.parse(await bodyOf(request)) as { payloads?: object[] };
  const payloads = (given.payloads ?? []).map((one) => Wire.fromObject(one) as Payload);
  const done = await codec[way](payloads);
  const text = JSON.stringify(Payloads.fromObject({ payloads: done }).toJSON());
  response.writeHead(200, { 'content-type': 'application/json' }).end(text);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MOST_BYTES) throw new RangeError('that is too much at once');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

if (require.main === module) {
  const { CODEC_KEYS, CODEC_ORIGINS = 'http://localhost:8233,http://127.0.0.1:8233', CODEC_TOKEN } = process.env;
  const server = codecServer(new AesGcmCodec(keysFrom(CODEC_KEYS)), {
    origins: CODEC_ORIGINS.split(','),
    token: CODEC_TOKEN,
  });
  server.listen(8888, '127.0.0.1', () => console.log('the codec server is at http://127.0.0.1:8888'));
}
