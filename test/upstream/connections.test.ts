/**
 * The turns of calls when there are too few connections: the line, its leavers, and lanes that do not keep each other
 * out.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Client } from 'undici';
import { Connections, type Lane, type Sendable } from '../../activities/upstream/connections';
import { enterLane, laneOf, shapeOf } from '../../activities/upstream/lane';
import { createUpstream, UpstreamError } from '../../exports/upstream';
import { simulate } from '../support/simulate';

/** A call that was sent, or waits, or has failed; nothing is sent over a socket. */
class FakeCall implements Sendable {
  readonly request = { method: 'GET', path: '/' } as const;
  connection: Client | undefined = undefined;
  lane: Lane | undefined = undefined;
  waits = false;
  ahead: Sendable | undefined = undefined;
  behind: Sendable | undefined = undefined;
  sent = false;
  failed = false;
  constructor(readonly laneName: string) {}
  onError(): void {
    this.failed = true;
  }
}

/** Clients that only note what they are given. */
function fakeClients(connections: Connections): void {
  const client = {
    dispatch: (_request: unknown, call: FakeCall) => (call.sent = true),
    destroy: () => Promise.resolve(),
  };
  const of = connections as unknown as { all: unknown[]; open: () => unknown };
  of.open = () => {
    of.all.push(client);
    return client;
  };
}

function connectionsOf(limit: number): Connections {
  const connections = new Connections('http://127.0.0.1:1', limit);
  fakeClients(connections);
  return connections;
}

function send(connections: Connections, lane: string, count: number): FakeCall[] {
  const calls = Array.from({ length: count }, () => new FakeCall(lane));
  for (const call of calls) connections.send(call);
  return calls;
}

test('a lane alone has all connections; the line is served in its order', () => {
  const connections = connectionsOf(8);
  const calls = send(connections, 'a', 12);
  expect(calls.map((call) => call.sent)).toEqual([...Array<boolean>(8).fill(true), ...Array<boolean>(4).fill(false)]);
  connections.release(calls[3]!);
  expect(calls.map((call) => call.sent).lastIndexOf(true)).toBe(8);
  // Once: the connection belongs to another now.
  connections.release(calls[3]!);
  expect(calls.map((call) => call.sent).lastIndexOf(true)).toBe(8);
});

test('TR-H1: nothing is kept of a call that is over, however long the line is never empty', () => {
  const connections = connectionsOf(2);
  let calls = send(connections, 'a', 4);
  for (let i = 0; i < 10_000; i++) {
    connections.release(calls.find((call) => call.connection)!);
    calls = [...calls.filter((call) => call.connection ?? call.waits), ...send(connections, 'a', 1)];
    expect(connections.waiting).toBe(2);
  }
  let reached = 0;
  const lane = calls[0]!.lane!;
  for (let call: Sendable | undefined = lane.first; call; call = call.behind) reached++;
  expect(reached).toBe(2);
});

test('one that has ended while it waited leaves the line at once, wherever it stands', () => {
  const connections = connectionsOf(1);
  const [first, ...waiting] = send(connections, 'a', 6);
  for (const k of [0, 2, 4]) connections.forget(waiting[k]!);
  connections.forget(waiting[2]!);
  connections.forget(first!);
  expect(connections.waiting).toBe(2);
  connections.release(first!);
  connections.release(waiting[1]!);
  connections.release(waiting[3]!);
  expect(waiting.map((call) => call.sent)).toEqual([false, true, false, true, false]);
  expect(connections.waiting).toBe(0);
});

test('a lane that hangs leaves the others their part, and what is free goes round', () => {
  const connections = connectionsOf(16);
  // Both are known; then all of `slow` hang.
  const [quick] = send(connections, 'quick', 1);
  connections.release(quick!);
  const slow = send(connections, 'slow', 100);
  expect(slow.filter((call) => call.sent)).toHaveLength(14);
  const more = send(connections, 'quick', 3);
  expect(more.map((call) => call.sent)).toEqual([true, true, false]);
  // One of the hanging ends: the turn is with who has less.
  connections.release(slow[0]!);
  connections.release(more[0]!);
  expect(more[2]!.sent).toBe(true);
});

test('a lane that comes when all is taken has the next turn', () => {
  const connections = connectionsOf(4);
  const slow = send(connections, 'slow', 10);
  const [quick] = send(connections, 'quick', 1);
  expect(quick!.sent).toBe(false);
  connections.release(slow[0]!);
  expect(slow[4]!.sent || quick!.sent).toBe(true);
  connections.release(slow[1]!);
  expect(quick!.sent).toBe(true);
});

test('a lane that nobody used for a minute has nothing kept for it', () => {
  jest.useFakeTimers();
  try {
    const connections = connectionsOf(4);
    connections.release(send(connections, 'a', 1)[0]!);
    connections.release(send(connections, 'b', 1)[0]!);
    const before = send(connections, 'b', 4);
    expect(before.filter((call) => call.sent)).toHaveLength(3);
    before.forEach((call) => connections.forget(call));
    before.forEach((call) => connections.release(call));
    jest.advanceTimersByTime(61_000);
    expect(send(connections, 'b', 4).filter((call) => call.sent)).toHaveLength(4);
  } finally {
    jest.useRealTimers();
  }
});

test('a call that cannot be sent gives its connection on, without a word to the stack', () => {
  const connections = connectionsOf(1);
  const [first] = send(connections, 'a', 1);
  const calls = Array.from({ length: 20_000 }, () => {
    const call = new FakeCall('a');
    call.onError = () => {
      call.failed = true;
      connections.release(call);
    };
    return call;
  });
  const client = first!.connection as unknown as { dispatch: () => void };
  client.dispatch = () => {
    throw new Error('no');
  };
  for (const call of calls) connections.send(call);
  connections.release(first!);
  expect(calls.every((call) => call.failed)).toBe(true);
});

/** Draws whole numbers below n. */
function drawsOf(seed: number): (n: number) => number {
  let state = seed >>> 0 || 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % n;
  };
}

simulate('no connection is lost or given twice, nobody starves, and what is kept for a lane is there', (seed) => {
  const draw = drawsOf(seed);
  const limit = 1 + draw(12);
  const connections = connectionsOf(limit);
  const lanes = ['a', 'b', 'c', 'd'].slice(0, 1 + draw(4));
  const running = new Set<FakeCall>();
  const waiting = new Set<FakeCall>();
  const look = (): void => {
    for (const call of waiting) {
      if (!call.sent) continue;
      waiting.delete(call);
      running.add(call);
    }
    hold(running.size <= limit, 'more are under way than there are connections');
    hold(connections.waiting === waiting.size, 'the line has others than those who wait');
    const kept = lanes.length < 2 || limit < lanes.length ? 0 : Math.max(1, Math.floor(limit / 4 / lanes.length));
    let owed = 0;
    for (const lane of lanes) owed += Math.max(0, kept - [...running].filter((call) => call.laneName === lane).length);
    hold(limit - running.size >= owed, 'a lane took what was kept for another');
    if (waiting.size === 0 || running.size === limit) return;
    // Somebody waits only where all is taken, or what is free is kept for a lane that has less than its part.
    hold(limit - running.size <= kept * (lanes.length - 1), 'more is kept free than the parts of the others');
    for (const lane of new Set([...waiting].map((call) => call.laneName))) {
      const own = [...running].filter((other) => other.laneName === lane).length;
      hold(own >= kept, 'a lane waits for its own part');
    }
  };
  // All are known from the beginning.
  for (const lane of lanes) {
    const [call] = send(connections, lane, 1) as [FakeCall];
    if (call.sent) connections.release(call);
    else connections.forget(call);
  }
  for (let step = 0; step < 60; step++) {
    const what = draw(5);
    if (what < 2) {
      for (const call of send(connections, lanes[draw(lanes.length)]!, 1 + draw(4))) waiting.add(call);
    } else if (what < 4) {
      const call = [...running][draw(Math.max(1, running.size))];
      if (call) {
        running.delete(call);
        connections.release(call);
      }
    } else {
      const call = [...waiting][draw(Math.max(1, waiting.size))];
      if (call) {
        waiting.delete(call);
        connections.forget(call);
      }
    }
    look();
  }
  // All that wait have their turn in the end.
  for (let turns = 0; running.size > 0; turns++) {
    hold(turns < 1_000, 'it does not end');
    const [call] = running;
    running.delete(call!);
    connections.release(call!);
    look();
  }
  hold(waiting.size === 0, 'somebody still waits');
});

function hold(promise: boolean, otherwise: string): void {
  if (!promise) throw new Error(otherwise);
}

describe('over sockets', () => {
  const hanging: http.ServerResponse[] = [];
  let server: http.Server;
  let origin: string;
  beforeAll(async () => {
    server = http.createServer((req, res) => {
      if (req.url!.startsWith('/slow')) hanging.push(res);
      else res.end('1');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });

  test('an operation whose requests hang does not keep another out, and what times out in line leaves it', async () => {
    const upstream = createUpstream({ origin, connections: 8, timeoutMs: 60_000 });
    await upstream.get('/quick/1');
    const slow = Array.from({ length: 50 }, (_, i) => upstream.get(`/slow/${i}`).catch((error: unknown) => error));
    for (let i = 0; i < 20; i++) expect((await upstream.get(`/quick/${i}`)).body).toBe(1);
    const late = upstream.get('/slow/x1', { timeoutMs: 20 });
    await expect(late).rejects.toMatchObject({ failure: 'timeout' });
    const { connections } = upstream as unknown as { connections: Connections };
    expect(connections.waiting).toBe(50 - 7);
    await upstream.close();
    for (const error of await Promise.all(slow)) expect(error).toBeInstanceOf(UpstreamError);
  });
});

describe('whose request it is', () => {
  test.each([
    ['/characters/123/location/?datasource=x', '/characters/*/location/'],
    ['/universe/names', '/universe/names'],
    ['/v2/items/0b7e1c', '/*/items/*'],
    ['/tokens/abcdefghijklmnopqrstuvwxyz#x', '/tokens/*'],
    ['/', '/'],
  ])('%s is one of %s', (path, shape) => expect(shapeOf(path)).toBe(shape));

  test('the operation that runs, else the shape of the path', () => {
    enterLane('pilots/location');
    expect(laneOf('/a')).toBe('pilots/location');
    enterLane(undefined);
    expect(laneOf('/a')).toBe('/a');
  });
});
