/** The example’s upstream over HTTP, with a clock that the test moves. Each test begins with one of its own. */
import { Pool } from 'undici';
import { startEveUpstream, type EveUpstream } from '../../../examples/eve/upstream/server';
import type { Settings } from '../../../examples/eve/upstream/control';

export const START = Date.UTC(2026, 0, 1, 12, 0, 0, 400);
export const ID = 2_112_000_001;
/** The time that it is for the upstream. */
export const clock = { now: START };
export let upstream: EveUpstream;
export let pool: Pool;

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  json: <T>() => T;
}

/** Begins anew, at the start of its time. */
export async function restart(settings: Partial<Settings> = {}, seed = 1): Promise<void> {
  clock.now = START;
  upstream = await startEveUpstream({ seed, settings: { refreshMs: 0, ...settings }, now: () => clock.now });
  pool = new Pool(upstream.origin, { connections: 20 });
}

export async function ask(
  path: string,
  headers: Record<string, string> = {},
  post?: { body: string; method?: 'POST' | 'DELETE' },
): Promise<Reply> {
  const method = post ? (post.method ?? 'POST') : 'GET';
  const answer = await pool.request({ path, method, headers, body: post?.body });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, text, json: () => JSON.parse(text) as never };
}

/** Each test of the file has an upstream of its own. */
export function anewForEachTest(): void {
  beforeEach(() => restart());
  afterEach(async () => {
    await pool.destroy();
    await upstream.close();
  });
}
