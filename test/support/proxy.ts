/**
 * A network between a worker and PostgreSQL, or Temporal, that a test can break: it swallows (no byte passes and nobody
 * is told, as behind a firewall that forgets a connection), or loses the answer to a commit that has happened. A
 * stand-in for Toxiproxy, which is not a package of npm.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** PostgreSQL's CommandComplete of a commit: 'C', a length, the tag. */
const COMMITTED = Buffer.from('COMMIT\0');

export class Proxy {
  private readonly links = new Set<[client: Socket, server: Socket]>();
  private swallowing = false;
  private refusing = false;
  private losing: (() => void) | undefined;

  private constructor(
    /** The address to give to a worker. */
    readonly url: string,
    private readonly listener: Server,
    private readonly target: { host: string; port: number },
  ) {
    listener.on('connection', (client) => this.link(client));
  }

  /** @param host the address of this machine that it listens on */
  static async start(serverUrl: string, host = '127.0.0.1'): Promise<Proxy> {
    const url = new URL(serverUrl);
    const target = { host: url.hostname, port: Number(url.port) };
    const listener = createServer();
    listener.listen(0, host);
    await once(listener, 'listening');
    url.hostname = host;
    url.port = String((listener.address() as AddressInfo).port);
    return new Proxy(url.href, listener, target);
  }

  /** From now on nothing passes in either direction, on no connection, and none is closed. */
  swallow(): void {
    this.swallowing = true;
    for (const link of this.links) link.forEach((socket) => socket.pause());
  }

  /** Every connection ends, and no other is taken, as where the server is not running. */
  refuse(): void {
    this.refusing = true;
    for (const link of this.links) link.forEach((socket) => socket.destroy());
  }

  /** It passes again, what waited too. */
  pass(): void {
    this.refusing = false;
    this.swallowing = false;
    for (const link of this.links) link.forEach((socket) => socket.resume());
  }

  /** The next commit happens, its answer is lost and its connection ends. Resolves then. */
  loseAnswerToCommit(): Promise<void> {
    return new Promise((lost) => (this.losing = lost));
  }

  close(): void {
    this.listener.close();
    for (const link of this.links) link.forEach((socket) => socket.destroy());
  }

  private link(client: Socket): void {
    if (this.refusing) {
      client.destroy();
      return;
    }
    const server = connect(this.target);
    const link: [Socket, Socket] = [client, server];
    this.links.add(link);
    client.on('data', (bytes) => void server.write(bytes));
    server.on('data', (bytes) => {
      if (this.losing !== undefined && bytes.includes(COMMITTED)) {
        this.losing();
        this.losing = undefined;
        end();
        return;
      }
      client.write(bytes);
    });
    const end = (): void => {
      this.links.delete(link);
      link.forEach((socket) => socket.destroy());
    };
    for (const socket of link) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', () => {
        // While it swallows nobody hears that the other side has gone.
        if (!this.swallowing) end();
      });
      if (this.swallowing) socket.pause();
    }
  }
}
