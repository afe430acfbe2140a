/** An HTTP server on a real socket for the tests of this folder: they say what it answers, and open upstreams. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { createUpstream, HoldError, UpstreamError, type Upstream, type UpstreamOptions } from 'longwatch/upstream';

export type Handler = (req: http.IncomingMessage, res: http.ServerResponse) => void;

export interface AnsweringServer {
  /** Answers the requests from now on. */
  handler: Handler;
  /** Opened since the test began. */
  connections: number;
  /** An upstream of it, closed after the test. */
  open(options?: Partial<UpstreamOptions>): Upstream;
}

/** Listens while the tests of a file run. */
export function answeringServer(): AnsweringServer {
  let origin: string;
  const upstreams: Upstream[] = [];
  const one: AnsweringServer = {
    handler: answering(404),
    connections: 0,
    open(options = {}) {
      const upstream = createUpstream({ origin, connections: 1, ...options });
      upstreams.push(upstream);
      return upstream;
    },
  };
  const server = http.createServer((req, res) => one.handler(req, res));
  server.on('connection', () => one.connections++);

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => (one.connections = 0));
  afterEach(async () => {
    await Promise.all(upstreams.splice(0).map((upstream) => upstream.close()));
  });
  afterAll(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return one;
}

/** Answers with a status, headers and a body. */
export function answering(
  status: number,
  headers: http.OutgoingHttpHeaders = {},
  body: string | Buffer = '{}',
): Handler {
  return (req, res) => {
    req.resume();
    res.writeHead(status, headers);
    res.end(body);
  };
}

/** The error of something that fails; any other error, or none, is one of the test. */
export async function failure(work: Promise<unknown>): Promise<UpstreamError | HoldError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof UpstreamError) && !(error instanceof HoldError)) throw new Error(`got ${inspect(error)}`);
  return error;
}

/** A time as HTTP writes it. */
export const at = (ms: number): string => new Date(ms).toUTCString();
