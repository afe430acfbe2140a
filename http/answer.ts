/**
 * Answers one request by its route: who may, what is asked (by the route's schemas), what the library says. Called by
 * `app.ts`; failures are thrown, and answered there.
 */
import { createHash } from 'node:crypto';
import type { z } from '@hono/zod-openapi';
import type { Longwatch } from '../client/longwatch';
import { parseBody, readText } from './body';
import { ApiError } from './problems';
import type { Asked, Route } from './route';
import { PARAMS, type ParamName } from './schemas';
import { may, type Caller } from './who';

export interface Incoming {
  request: Request;
  params: Record<string, string>;
  caller: Caller;
  longwatch: Longwatch;
}

export async function answer(route: Route, { request, params, caller, longwatch }: Incoming): Promise<Response> {
  if (!may(caller, route.role))
    throw new ApiError(
      403,
      'Forbidden',
      `'${caller.name}' has the role '${caller.role}', and this needs '${route.role}'`,
    );
  const { searchParams } = new URL(request.url);
  const asked: Asked = {
    longwatch,
    caller,
    signal: request.signal,
    params: Object.fromEntries(
      Object.entries(params).map(([name, value]) => [name, checked(PARAMS[name as ParamName], value, name)]),
    ),
    query: route.query && checked(route.query, Object.fromEntries(searchParams), 'query'),
    body: undefined,
  };
  if (route.body) {
    const body = parseBody(await readText(request), request.headers.get('content-type'));
    asked.body = checked(route.body, body, 'body');
  }
  return jsonOf(await route.run(asked), request, route.tagged === true);
}

function jsonOf(said: unknown, request: Request, tagged: boolean): Response {
  const body = JSON.stringify(said);
  const headers: Record<string, string> = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  if (tagged) {
    headers.etag = tagOf(body);
    if (request.headers.get('if-none-match') === headers.etag) return new Response(null, { status: 304, headers });
  }
  return new Response(body, { headers });
}

export const tagOf = (body: string): string =>
  `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;

/** The first thing that is wrong, and where: `body.ids.3: …`. */
function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const where = [what, ...(issue?.path ?? []).map(String)].join('.');
  throw new ApiError(
    400,
    'InvalidRequest',
    `${where.slice(0, 300)}: ${issue?.message.slice(0, 300) ?? 'it cannot be read'}`,
  );
}
