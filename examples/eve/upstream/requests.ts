/** Requests to the example's upstream: who sends them, what is in them, those to `/_control`. Used by `server.ts`. */
import type http from 'node:http';
import type { Socket } from 'node:net';
import type { Counters, Settings } from './control';

const MAX_REQUEST_BYTES = 64 * 1024;

/** The upstream, as far as `/_control` changes and shows it. */
interface Controlled {
  readonly settings: Readonly<Settings>;
  set(change: Partial<Settings>): void;
  counters(): Counters;
  resetCounters(): void;
}

export function answerControl(upstream: Controlled, req: http.IncomingMessage, res: http.ServerResponse): void {
  const answer = (status: number, body: unknown): void => {
    res.writeHead(status, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(body));
  };
  if (req.method === 'GET') {
    answer(200, { settings: upstream.settings, counters: upstream.counters() });
  } else if (req.method === 'POST') {
    readBody(req, (text) => {
      try {
        upstream.set(parsed(text) as Partial<Settings>);
        answer(200, { settings: upstream.settings });
      } catch (error) {
        answer(400, { error: (error as Error).message });
      }
    });
  } else if (req.method === 'DELETE') {
    upstream.resetCounters();
    answer(200, { counters: upstream.counters() });
  } else {
    answer(405, { error: 'GET, POST, or DELETE to reset the counters' });
  }
}

/** Gives the body as text; nothing of one that is too long. */
export function readBody(req: http.IncomingMessage, then: (text: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_REQUEST_BYTES) chunks.push(chunk);
  });
  req.once('end', () => then(bytes > MAX_REQUEST_BYTES ? '' : Buffer.concat(chunks).toString()));
}

/** The value of a text of JSON; undefined where it is not JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const ADDRESS = Symbol('address');

/** The address of a connection, asked for once: it is a system call. */
export function addressOf(socket: Socket & { [ADDRESS]?: string }): string {
  return (socket[ADDRESS] ??= socket.remoteAddress ?? 'gone');
}
