/**
 * Stands in front of a real node and answers every other request wrongly, in the ways that nodes do: by turns 429, 500,
 * half a batch, null in place of blocks, no JSON, a connection that ends.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';

export const FAULTS = ['429', '500', 'half', 'null', 'garbage', 'closed'] as const;
type Fault = (typeof FAULTS)[number];

export interface FaultyProxy {
  url: string;
  /** How often each fault was shown. */
  shown: Record<Fault, number>;
  /** From now on every request is answered as the node does. */
  behave(): void;
  close(): Promise<void>;
}

export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const shown = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;
  let faults = true;
  let requests = 0;
  const next = (): Fault | undefined => {
    requests += 1;
    if (!faults || requests % 2 === 0) return undefined;
    const fault = FAULTS[Math.floor(requests / 2) % FAULTS.length]!;
    shown[fault] += 1;
    return fault;
  };
  const server = createServer((incoming, response) => {
    let body = '';
    incoming.on('data', (data: Buffer) => (body += data.toString()));
    incoming.on('end', () => {
      const fault = next();
      if (fault === '429') response.writeHead(429, { 'retry-after': '1' }).end();
      else if (fault === '500') response.writeHead(500).end();
      else if (fault === 'garbage') response.end('<html>');
      else if (fault === 'closed') response.destroy();
      else void forward(target, body, fault).then((text) => response.end(text));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    shown,
    behave: () => void (faults = false),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function forward(target: string, body: string, fault: Fault | undefined): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const text = await (await request(target, { method: 'POST', headers, body })).body.text();
  if (fault === undefined) return text;
  const answers = JSON.parse(text) as object | object[];
  if (fault === 'null') {
    const empty = (answer: object): object => ({ ...answer, result: null });
    return JSON.stringify(Array.isArray(answers) ? answers.map(empty) : empty(answers));
  }
  return JSON.stringify(Array.isArray(answers) ? answers.slice(0, answers.length >> 1) : answers);
}
