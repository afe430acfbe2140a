/**
 * TLS to Temporal, also with a client's certificate. The development server speaks none, so a proxy before it does, as
 * a cloud's edge does.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectPlain, type AddressInfo } from 'node:net';
import path from 'node:path';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { connect } from '../../exports';
import { explain } from '../../cli/errors';
import type { TemporalTarget } from '../../config/environment';
import { Authority, type Certificate } from '../support/certificates';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';
import { resolveConfig } from '../../config/resolve/config';

let stack: Stack;
let ca: Authority;
let other: Authority;
let client: Certificate;
const edges: Edge[] = [];

/** Ends TLS and passes on what comes. */
class Edge {
  private readonly open = new Set<TLSSocket>();
  /** Names of the clients that had a certificate. */
  readonly clients = new Set<string>();
  private constructor(private readonly server: Server) {}

  static async start(server: Certificate, mutual: boolean): Promise<Edge> {
    const asked = mutual ? { requestCert: true, rejectUnauthorized: true, ca: readFileSync(ca.cert) } : {};
    const listener = createServer({
      cert: readFileSync(server.cert),
      key: readFileSync(server.key),
      ALPNProtocols: ['h2'],
      ...asked,
    });
    const edge = new Edge(listener);
    const [host, port] = stack.servers.temporalAddress.split(':') as [string, string];
    listener.on('secureConnection', (socket) => {
      edge.open.add(socket);
      edge.clients.add(String(socket.getPeerCertificate()?.subject?.CN ?? ''));
      const inner = connectPlain(Number(port), host);
      socket.pipe(inner).pipe(socket);
      socket.on('error', () => inner.destroy()).on('close', () => edge.open.delete(socket));
      inner.on('error', () => socket.destroy());
    });
    listener.on('tlsClientError', () => undefined);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    edges.push(edge);
    return edge;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    this.server.close();
    for (const socket of this.open) socket.destroy();
  }
}

let edge: Edge;
let mutual: Edge;
let expired: Edge;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
  ca = new Authority(path.join(stack.dir, 'ca'));
  other = new Authority(path.join(stack.dir, 'other'));
  const server = ca.sign('server', 'localhost');
  client = ca.sign('client', 'who-works');
  edge = await Edge.start(server, false);
  mutual = await Edge.start(server, true);
  expired = await Edge.start(ca.sign('expired', 'localhost', true), false);
});
afterAll(async () => {
  await stack.close();
  for (const one of edges) one.close();
});

const config = {
  trackers: [
    {
      name: 'people',
      shift: '2s' as const,
      operations: { look: { every: '500ms' as const, run: () => ({ value: 1 }) } },
    },
  ],
};
const read = (file: string): Uint8Array => readFileSync(file);
const pair = (of: Certificate) => ({ crt: read(of.cert), key: read(of.key) });
const target = (of: { port: number }, tls: TemporalTarget['tls'], host = 'localhost'): TemporalTarget => ({
  address: `${host}:${of.port}`,
  namespace: stack.servers.namespace,
  tls,
});

test('a worker and a client with a certificate of theirs work behind it', async () => {
  const tls = { serverRootCACertificate: read(ca.cert), clientCertPair: pair(client) };
  const worker = await stack.worker(config, { temporal: target(mutual, tls) });
  const environment = { temporal: target(mutual, tls), databaseUrl: stack.servers.databaseUrl };
  const longwatch = await connect({ environment });
  await longwatch.tracker('people').start(resolveConfig(config).trackers[0]!.options);
  expect(await longwatch.tracker('people').add(['p1'], { wait: true })).toMatchObject({ applied: true });
  await longwatch.close();
  expect([...mutual.clients]).toEqual(['who-works']);
  // By the name that the certificate has, wherever it is reached.
  const named = await connect({
    environment: {
      ...environment,
      temporal: target(edge, { serverRootCACertificate: read(ca.cert), serverNameOverride: 'localhost' }, '127.0.0.1'),
    },
  });
  await named.tracker('people').pause();
  await named.close();
  await worker.shutdown();
});

test('the command line goes by TEMPORAL_TLS_…', async () => {
  await stack.worker(config);
  const longwatch = await stack.connect();
  await longwatch.tracker('people').start(resolveConfig(config).trackers[0]!.options);
  const servers = { ...stack.servers, temporalAddress: `localhost:${mutual.port}` };
  const set = {
    TEMPORAL_TLS: 'true',
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: ca.cert,
    TEMPORAL_TLS_CLIENT_CERT_PATH: client.cert,
    TEMPORAL_TLS_CLIENT_KEY_PATH: client.key,
  };
  Object.assign(process.env, set);
  try {
    expect(await runCli({ servers }, 'pause', 'people')).toMatchObject({ status: 0, err: '' });
  } finally {
    for (const name of Object.keys(set)) delete process.env[name];
  }
});

const plain = () => ({ port: Number(stack.servers.temporalAddress.split(':')[1]) });
const known = () => ({ serverRootCACertificate: read(ca.cert) });
test.each<[what: string, target: () => TemporalTarget, says: RegExp]>([
  ['a server that speaks no TLS', () => target(plain(), known()), /it speaks no TLS/],
  ['a server that speaks no TLS, and TLS without more', () => target(plain(), true), /it speaks no TLS/],
  [
    'a server with TLS, and none asked for',
    () => target(edge, undefined),
    /it speaks TLS, which is not asked for: set TEMPORAL_TLS=true/,
  ],
  [
    'a server with mutual TLS, and none asked for',
    () => target(mutual, undefined),
    /it speaks TLS, which is not asked for/,
  ],
  [
    'an authority that is not known',
    () => target(edge, true),
    /not signed by an authority that is known here: TEMPORAL_TLS_SERVER_CA_CERT_PATH/,
  ],
  [
    'another authority',
    () => target(edge, { serverRootCACertificate: read(other.cert) }),
    /not signed by an authority that is known here/,
  ],
  [
    'another name',
    () => target(edge, known(), '127.0.0.1'),
    /its certificate is for another host name: TEMPORAL_TLS_SERVER_NAME/,
  ],
  ['an expired certificate', () => target(expired, known()), /its certificate has expired/],
  ['no certificate of the client', () => target(mutual, known()), /wants one: TEMPORAL_TLS_CLIENT_CERT_PATH/],
  [
    'one of another authority',
    () => target(mutual, { ...known(), clientCertPair: pair(other) }),
    /hangs up on this client: it does not take its certificate/,
  ],
])('%s: one line, from a client and a worker', async (_what, of, says) => {
  const temporal = of();
  const longwatch = await connect({ environment: { temporal, databaseUrl: stack.servers.databaseUrl } });
  // PostgreSQL is asked first, and a busy machine may not answer in time.
  const refused = (one: () => Promise<unknown>) =>
    eventually('Temporal cannot be used', async () => {
      const told = explain(await one().catch((error: unknown) => error));
      return /^Temporal at (localhost|127\.0\.0\.1):\d+ cannot be used: /.test(told.message) && told;
    });
  const told = await Promise.all([
    refused(() => longwatch.tracker('people').pause()),
    refused(() => stack.worker(config, { temporal })),
  ]);
  for (const { message, status, unexpected } of told)
    expect([status, unexpected, message.split('\n')]).toEqual([1, false, [expect.stringMatching(says)]]);
  await longwatch.close();
});

test('a server that is not there is said to be just that', async () => {
  const temporal = target({ port: 1 }, true);
  const longwatch = await connect({ environment: { temporal, databaseUrl: stack.servers.databaseUrl } });
  await expect(longwatch.tracker('people').pause()).rejects.toThrow(/^Temporal does not answer at localhost:1/);
  await longwatch.close();
});
