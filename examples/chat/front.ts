/**
 * The front of the chat: a page, and a socket for each user in a room. A user's words are a request to the room; the
 * room is asked for what is new while somebody looks at it. It keeps nothing: any number of fronts may run, and one
 * that dies loses nothing that was said.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Longwatch, MemberHandle } from 'longwatch';
import { rooms } from './rooms';

const PAGE = path.join(__dirname, 'page.html');
const LOOK_MS = 250;
/** The length of one message, characters; and what a name is made of. */
const TEXT = 2_000;
const NAME = /^[\p{L}\p{N}_-]{1,40}$/u;

/** One who looks at a room. */
interface Seat {
  readonly user: string;
  /** The number of the last line that it was told; -1: nothing yet. */
  last: number;
}

/** A room that somebody looks at. */
interface Watched {
  readonly member: MemberHandle<typeof rooms>;
  readonly sockets: Map<WebSocket, Seat>;
  /** The users who were there at the last look. */
  here: string;
  looking: boolean;
}

export class Front {
  private readonly server = http.createServer((_, response) => this.page(response));
  private readonly sockets = new WebSocketServer({ noServer: true, maxPayload: 10_000 });
  private readonly watched = new Map<string, Watched>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly longwatch: Longwatch) {}

  /** @returns its address */
  async start(port = 0): Promise<string> {
    this.server.on('upgrade', (request, socket, head) => {
      // A socket that goes away now would end the process without this.
      socket.on('error', () => undefined);
      const [pathname = '', query] = (request.url ?? '').split('?', 2);
      const room = /^\/rooms\/([^/]+)$/.exec(pathname)?.[1];
      const user = new URLSearchParams(query).get('user') ?? '';
      if (!isOurPage(request) || room === undefined || !NAME.test(decode(room)) || !NAME.test(user)) {
        socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
        return;
      }
      this.sockets.handleUpgrade(request, socket, head, (opened) => this.join(opened, decode(room), user));
    });
    await new Promise<void>((listening) => this.server.listen(port, '127.0.0.1', listening));
    this.timer = setInterval(() => {
      for (const watched of this.watched.values()) void this.look(watched);
    }, LOOK_MS);
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    for (const socket of this.sockets.clients) socket.terminate();
    this.server.closeAllConnections();
    await new Promise<void>((closed) => this.server.close(() => closed()));
  }

  private page(response: http.ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(readFileSync(PAGE));
  }

  private join(socket: WebSocket, id: string, user: string): void {
    let watched = this.watched.get(id);
    if (!watched) {
      const member = this.longwatch.tracker(rooms).member(id);
      this.watched.set(id, (watched = { member, sockets: new Map(), here: '', looking: false }));
    }
    const { member, sockets } = watched;
    const room = watched;
    sockets.set(socket, { user, last: -1 });
    const failed = (error: Error): void => tell(socket, { error: error.message });
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8').slice(0, TEXT);
      member.request({ say: text, by: user, at: Date.now() }).then(() => this.look(room), failed);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0) this.watched.delete(id);
      // One who has the room open twice is still there.
      const isThere = [...sockets.values()].some((seat) => seat.user === user);
      if (!isThere) member.send({ leave: user }).catch(() => undefined);
    });
    // A newcomer sees the last of what was said, by the next look.
    member.request({ join: user }).then(() => this.look(room), failed);
  }

  /** Each socket gets the lines that it has not been told. While a node is being replaced they come a little later. */
  private async look(watched: Watched): Promise<void> {
    if (watched.looking || watched.sockets.size === 0) return;
    watched.looking = true;
    try {
      const asked = [...watched.sockets];
      const told = await watched.member.request({ since: Math.min(...asked.map(([, { last }]) => last)) });
      const here = JSON.stringify(told.here);
      const isSame = here === watched.here;
      watched.here = here;
      for (const [socket, seat] of asked) {
        const lines = told.lines.filter(({ n }) => n > seat.last);
        if (seat.last === -1 || lines.length > 0 || !isSame) tell(socket, { ...told, lines });
        seat.last = told.n;
      }
    } catch {
      // The next look is soon.
    } finally {
      watched.looking = false;
    }
  }
}

function tell(socket: WebSocket, what: object): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(what));
}

/** A page of another site must not speak for a user. A program says no origin. */
function isOurPage({ headers: { origin, host } }: http.IncomingMessage): boolean {
  return origin === undefined || origin === `http://${host}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
