/**
 * The upstream of the tracker's scenarios, a plain HTTP server in a process of its own (`upstream.ts` starts it). Every
 * answer says something new, so every result has to be written. It sees each id's requests, which makes it the witness
 * of when an id was first fetched.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { serve } from '../harness/child';

const latencyMs = Number(process.env.UPSTREAM_LATENCY_MS ?? 0);
let served = 0;
/** When each id was first asked for since the last `watch`, epoch milliseconds with fractions. */
let firsts: Map<string, number> | undefined;
/** When each id was asked for last, and the longest time that it was not. Performance time, milliseconds. */
let lasts: Map<string, { at: number; longest: number }> | undefined;

function answer(response: ServerResponse): void {
  served++;
  const body = `{"solar_system_id":${30_000_000 + (served % 8_000)},"station_id":${60_000_000 + served}}`;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

function noteBeat(beats: NonNullable<typeof lasts>, id: string, now: number): void {
  const beat = beats.get(id);
  if (beat === undefined) {
    beats.set(id, { at: now, longest: 0 });
    return;
  }
  beat.longest = Math.max(beat.longest, now - beat.at);
  beat.at = now;
}

/** Ids that are waiting just now count as well. */
function longestWaits(): number[] {
  const now = performance.now();
  return [...(lasts ?? new Map<string, never>()).values()].map(({ at, longest }) => Math.max(longest, now - at));
}

const server = createServer((request, response) => {
  const id = request.url!.slice(request.url!.lastIndexOf('/') + 1);
  if (firsts !== undefined && !firsts.has(id)) firsts.set(id, performance.timeOrigin + performance.now());
  if (lasts !== undefined) noteBeat(lasts, id, performance.now());
  if (latencyMs === 0) answer(response);
  else setTimeout(answer, latencyMs, response);
});
// A measurement has its own limits; none of these should close a connection in the middle of one.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  serve({
    origin: () => `http://127.0.0.1:${port}`,
    served: () => served,
    watch: () => void (firsts = new Map()),
    firsts: () => [...(firsts ?? [])],
    watchWaits: () => void (lasts = new Map()),
    waits: longestWaits,
  });
});
