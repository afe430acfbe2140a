/**
 * The API as an OpenAPI 3.1 document, made of the routes by which it answers. `scripts/api.ts` writes it to
 * `api/openapi.json`, which is checked in, so that a changed answer shows in review.
 */
import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Route } from './route';
import { ROUTES } from './routes/all';
import { Login, PARAMS, Problem, type ParamName } from './schemas';
import { StateShape } from './shapes/state';
import { ROLES } from './who';

const json = (schema: z.ZodType, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** The failures of routes by their status. */
const FAILURES = {
  400: 'it cannot be; the message says what is wrong',
  401: 'no token, or not a known one',
  403: 'the token may not, or a page of another site asks',
  404: 'there is no such thing',
  409: 'it cannot be as things are now',
  412: 'somebody has changed it since',
  413: 'the body is too large',
  415: 'the body is not JSON',
  421: 'it is not to be reached by this host',
  422: 'the idempotency key was used with another body',
  429: 'too many tries failed; `retry-after` says when to ask again',
  500: 'nobody foresaw it; the log has it',
  503: 'a server does not answer; `retry-after` says when to ask again',
} as const;
type Status = keyof typeof FAILURES;

const ALWAYS: readonly Status[] = [400, 401, 403, 404, 409, 421, 429, 500, 503];
const WITH_BODY: readonly Status[] = [...ALWAYS, 413, 415, 422];
const nameOf = (status: number | string): string => `Failure${status}`;
const failures = (which: readonly Status[]): Record<number, { $ref: string }> =>
  Object.fromEntries(which.map((status) => [status, { $ref: `#/components/responses/${nameOf(status)}` }]));

const IdempotencyKey = z
  .string()
  .min(1)
  .max(200)
  .optional()
  .openapi({ description: 'sent twice with the same key, it is carried out once; kept for a day' });
const IfMatch = z
  .string()
  .max(200)
  .optional()
  .openapi({ description: 'the ETag of what was read: it is changed only where nobody has changed it since' });

export function openApiDocument(version: string): object {
  const api = new OpenAPIHono();
  const { openAPIRegistry: registry } = api;
  registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'of `longwatch token new`; where the dashboard is open, none is needed',
  });
  registry.register('Problem', Problem);
  for (const [status, description] of Object.entries(FAILURES)) {
    const schema = { $ref: '#/components/schemas/Problem' };
    registry.registerComponent('responses', nameOf(status), {
      description,
      content: { 'application/json': { schema } },
    });
  }
  for (const route of ROUTES) registry.registerPath(pathOf(route));
  addOthers(registry);
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Longwatch',
      version,
      description:
        'Everything that the library and the command line do, with the same words and codes. A name in an address that ' +
        'begins with `~` stands for what follows it: `~..` for `..`, which a browser would take for a folder, and ' +
        '`~~a` for `~a`.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    servers: [{ url: '/api/v1', description: 'below the path under which the dashboard is mounted' }],
    security: [{ token: [] }],
    tags: [...new Set(ROUTES.map(({ tag }) => tag))].map((name) => ({ name, description: DESCRIPTIONS[name] })),
  });
}

const DESCRIPTIONS: Record<string, string> = {
  overview: 'the deployment as a whole',
  trackers: 'trackers, their pools and holds',
  members: 'who is tracked, and what is known of each',
  buffers: 'buffers and their dead letters',
  jobs: 'regens, sweeps and decays',
  nodes: 'worker processes, and what is wanted of them',
  upstreams: 'limits of upstreams',
  activities: 'durable activities: leases, keys, compensations',
  history: 'the past of each thing, without Prometheus',
};

type Registry = OpenAPIHono['openAPIRegistry'];
type Path = Parameters<Registry['registerPath']>[0];

function pathOf({ method, path, id, tag, summary, role, query, body, answer, tagged }: Route): Path {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as ParamName);
  const headers =
    method === 'post' ? { 'Idempotency-Key': IdempotencyKey } : method === 'patch' ? { 'If-Match': IfMatch } : {};
  const said = json(answer, 'done');
  return {
    method,
    path,
    operationId: id,
    tags: [tag],
    summary,
    description: `Needs the role \`${role}\`${role === 'admin' ? '' : ' or a higher one'}.`,
    request: {
      ...(names.length > 0 && { params: z.object(Object.fromEntries(names.map((name) => [name, PARAMS[name]]))) }),
      ...(query && { query }),
      ...(Object.keys(headers).length > 0 && { headers: z.object(headers) }),
      ...(body && { body: { required: true, content: { 'application/json': { schema: body } } } }),
    },
    responses: {
      200: tagged ? { ...said, headers: z.object({ ETag: z.string() }) } : said,
      ...failures(body ? WITH_BODY : ALWAYS),
      ...(method === 'patch' && failures([412])),
    },
  };
}

/** The addresses beside those of the library. */
function addOthers(registry: Registry): void {
  registry.registerPath({
    method: 'get',
    path: '/stream',
    operationId: 'stream',
    tags: ['overview'],
    summary: 'The state as server-sent events: `snapshot`, then `delta` (the parts that changed), `problem`, `ping`',
    responses: {
      200: { description: 'events', content: { 'text/event-stream': { schema: StateShape } } },
      ...failures(ALWAYS),
    },
  });
  registry.registerPath({
    method: 'post',
    path: '/login',
    operationId: 'login',
    tags: ['overview'],
    summary: 'A token becomes the cookie of a browser',
    security: [],
    request: { body: json(Login, 'the token') },
    responses: {
      200: json(z.object({ name: z.string(), role: z.enum(ROLES) }), 'who it is'),
      ...failures(WITH_BODY),
    },
  });
  registry.registerPath({
    method: 'post',
    path: '/logout',
    operationId: 'logout',
    tags: ['overview'],
    summary: 'The browser forgets its cookie',
    security: [],
    responses: { 200: json(z.object({ out: z.literal(true) }), 'done'), ...failures(ALWAYS) },
  });
}
