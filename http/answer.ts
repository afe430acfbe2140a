/**
 * Answers one request by its route: who may, what is asked (by the route's schemas), what the library says; once, where
 * it came with an idempotency key, and only where nobody has changed it since, where it came with `If-Match`. Called by
 * `app.ts`; failures are thrown, and answered there.
 */
import { createHash } from 'node:crypto';
import { z } from '@hono/zod-openapi';
import { ChangedError, InvalidCursorError, TimedOutError } from '../client/errors';
import type { Longwatch } from '../client/longwatch';
import type { Ended } from '../client/once';
import type { Setting } from '../client/settings';
import { parseBody, readText } from './body';
import { ApiError, failureOf, hasDoneNothing } from './problems';
import type { Asked, Route } from './route';
import { PARAMS, type ParamName } from './schemas';
import { all } from './shapes/shape';
import { may, type LetIn } from './who';

/** A name that is not known would be passed over, and more be answered than was asked for. */
const NO_QUERY = z.strictObject({});
const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' };
const MOST_KEY = 200;
/** Below what a page waits for. */
const READ_MS = 25_000;
/** A start waits for a worker, a balance moves a thousand pools, a tick goes through a table. */
const COMMAND_MS = 140_000;

export interface Incoming {
  request: Request;
  params: Record<string, string>;
  caller: LetIn;
  longwatch: Longwatch;
  /** The address of Temporal's own page. */
  ui: string | null;
  onUnexpected: (error: unknown) => void;
}

export async function answer(route: Route, incoming: Incoming): Promise<Response> {
  const { request, caller } = incoming;
  if (!may(caller, route.role))
    throw new ApiError(
      403,
      'Forbidden',
      `'${caller.name}' has the role '${caller.role}', and this needs '${route.role}'`,
    );
  const text = route.body ? await readText(request) : '';
  const asked = askedOf(route, incoming, text);
  const run = (): Promise<string> => inTime(route, asked);
  if (route.method === 'get') return tagged(await run(), route, request);
  if (route.method === 'patch')
    return new Response(await new Match(request).run((onlyIf) => inTime(route, { ...asked, onlyIf })), {
      headers: JSON_HEADERS,
    });
  const key = route.method === 'post' ? request.headers.get('idempotency-key') : null;
  if (key === null) return new Response(await run(), { headers: JSON_HEADERS });
  if (key.length > MOST_KEY || key === '')
    throw new ApiError(400, 'InvalidRequest', `an idempotency key has 1 to ${MOST_KEY} characters`);
  const whole = `${request.method} ${new URL(request.url).pathname}\n${text}`;
  // A sender that has left comes again with its key: until then it goes on, so that there is an answer.
  const alone = { ...asked, signal: new AbortController().signal };
  const said = await asked.longwatch.once({ key, request: whole }, () => attempt(route, alone, incoming.onUnexpected));
  const replayed: Record<string, string> = said.replayed ? { 'idempotency-replayed': 'true' } : {};
  return new Response(said.body, { status: said.status, headers: { ...JSON_HEADERS, ...replayed } });
}

/** A failure is the answer for good where the request may have been done, and doing it twice would do harm. */
async function attempt(route: Route, asked: Asked, onUnexpected: (error: unknown) => void): Promise<Ended> {
  try {
    return { status: 200, body: await inTime(route, asked), keep: true };
  } catch (error) {
    if (!route.addsUp || hasDoneNothing(error)) throw error;
    const { status, body, unexpected } = failureOf(error);
    if (unexpected) onUnexpected(error);
    return { status, body: JSON.stringify(body), keep: true };
  }
}

/** Its answer as JSON. @throws TimedOutError where none comes: a network can swallow any request */
async function inTime(route: Route, asked: Asked): Promise<string> {
  const isRead = route.method === 'get';
  const time = AbortSignal.timeout(isRead ? READ_MS : COMMAND_MS);
  const late = new Promise<never>((_, reject) => {
    const done = isRead ? 'ask again' : 'it may have been done, or go on';
    time.addEventListener('abort', () => reject(new TimedOutError(`no answer came in time; ${done}`)), { once: true });
  });
  const signal = AbortSignal.any([asked.signal, time]);
  return JSON.stringify(marked(await Promise.race([route.run({ ...asked, signal }), late]), route, asked.params));
}

function askedOf(route: Route, { request, params, caller, longwatch, ui }: Incoming, text: string): Asked {
  const query = Object.fromEntries(new URL(request.url).searchParams);
  const named = Object.fromEntries(
    Object.entries(params).map(([name, value]): [string, unknown] => [
      name,
      checked(PARAMS[name as ParamName], unescaped(value), name),
    ]),
  );
  return {
    longwatch,
    caller,
    ui,
    signal: request.signal,
    params: named,
    query: unmarked(checked(route.query?.strict() ?? NO_QUERY, query, 'query'), route, named),
    body: route.body && checked(route.body, parseBody(text, request.headers.get('content-type')), 'body'),
  };
}

/** Browsers and programs take `.` and `..` in an address for folders, in whatever way they are written. */
const unescaped = (name: string): string => (name.startsWith('~') ? name.slice(1) : name);

/** Names a list: a place in one may be a place in another one as well, where it would pass over what is before it. */
const markOf = (route: Route, params: Asked['params']): string =>
  createHash('sha256')
    .update(JSON.stringify([route.id, params]))
    .digest('base64url')
    .slice(0, 6);

/** A page of a list, whose cursor is one of that list. */
function marked(answer: unknown, route: Route, params: Asked['params']): unknown {
  if (route.query?.shape.after === undefined) return answer;
  const page = answer as { items: unknown; next: string | null };
  return page.next === null ? page : { ...page, next: markOf(route, params) + page.next };
}

/** @throws InvalidCursorError for a cursor that this list has not given */
function unmarked<Q extends object>(query: Q, route: Route, params: Asked['params']): Q {
  const { after } = query as { after?: string };
  if (after === undefined) return query;
  const mark = markOf(route, params);
  if (!after.startsWith(mark) || after === mark) throw new InvalidCursorError(after);
  return { ...query, after: after.slice(mark.length) };
}

/** `If-Match`: it is set only where it is what the caller has read. The library asks, where nobody comes in between. */
class Match {
  private readonly tags: readonly string[];
  private last?: string;

  constructor(request: Request) {
    // A proxy that compresses answers makes their tags weak ones (nginx), or writes how it did behind them (Apache).
    const wanted = request.headers.get('if-match')?.split(',') ?? ['*'];
    const tags = wanted.map((each) => each.trim().replace(/^W\//, ''));
    this.tags = [...tags, ...tags.map((tag) => tag.replace(/-(gzip|br|deflate)"$/, '"'))];
  }

  /** @throws ApiError 412, with the tag of what it is now */
  async run(work: (onlyIf: Asked['onlyIf']) => Promise<string>): Promise<string> {
    try {
      return await work(this.tags.includes('*') ? undefined : (now) => this.holds(now));
    } catch (error) {
      if (!(error instanceof ChangedError)) throw error;
      throw new ApiError(412, 'Changed', error.message, this.last === undefined ? {} : { etag: this.last });
    }
  }

  private holds(now: readonly Setting[]): boolean {
    this.last = tagOf(JSON.stringify(all(now)));
    return this.tags.includes(this.last);
  }
}

function tagged(body: string, route: Route, request: Request): Response {
  if (!route.tagged) return new Response(body, { headers: JSON_HEADERS });
  const headers = { ...JSON_HEADERS, etag: tagOf(body) };
  const isKnown = request.headers.get('if-none-match') === headers.etag;
  return isKnown ? new Response(null, { status: 304, headers }) : new Response(body, { headers });
}

const tagOf = (body: string): string => `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;

/** The first thing that is wrong, and where: `body.ids.3: …`. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const where = [what, ...(issue?.path ?? []).map(String)].join('.').slice(0, 300);
  throw new ApiError(400, 'InvalidRequest', `${where}: ${issue?.message.slice(0, 300) ?? 'it cannot be read'}`);
}
