/**
 * Requests as nobody in his right mind sends them, and some as everybody does: made of the document of the API, so that
 * a new route is among them by itself. Used by `fuzz.test.ts`.
 */
import fc from 'fast-check';
import { openApiDocument } from '../../http/openapi';

export interface Request {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string;
}

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
}
interface Parameter {
  name: string;
  in: string;
  schema: Schema;
}
interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { content: { 'application/json': { schema: Schema } } };
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const document = openApiDocument('0') as Document;

/** Text that has broken something before. */
const NASTY = ['', '\0', 'a\0b', '\ud800', 'x\udc00y', '__proto__', 'constructor', 'toString', '../..', '%2e%2e', 'null', "';--", '<script>alert(1)</script>', '\u202Eabc', '🦉', 'ı', 'x'.repeat(10_000), '\r\nset-cookie: a=b', '-0', '1e309', '9007199254740993', '{}', '[]']; // prettier-ignore

const text = fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: 'binary', maxLength: 40 }), fc.string());
const number = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e21, 1e300, 5e-324),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const anything = fc.oneof(fc.jsonValue({ maxDepth: 4 }), text, number);

/** Values that a schema lets through, and now and then one that it does not. */
function valueOf(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 8, arbitrary: rightOf(schema, depth) }, { weight: 1, arbitrary: anything });
}

function rightOf(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return rightOf(document.components.schemas[schema.$ref.split('/').at(-1)!]!, depth);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((each) => valueOf(each, depth)));
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'object':
      return objectOf(schema, depth);
    case 'array':
      return fc.array(valueOf(schema.items ?? {}, depth + 1), { maxLength: 6 });
    case 'string':
      return text;
    case 'integer':
      return fc.integer({ min: 0, max: 200 });
    case 'number':
      return number;
    case 'boolean':
      return fc.boolean();
    default:
      return anything;
  }
}

function objectOf({ properties = {}, required = [], additionalProperties }: Schema, depth: number) {
  if (typeof additionalProperties === 'object')
    return fc.dictionary(text, valueOf(additionalProperties, depth + 1), { maxKeys: 4 });
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [
      name,
      required.includes(name)
        ? valueOf(schema, depth + 1)
        : fc.option(valueOf(schema, depth + 1), { nil: undefined, freq: 3 }),
    ]),
  );
  return fc.record(fields);
}

/** A body as text: JSON of its schema, or what is not JSON, or is JSON as a parser fears it. */
function bodyOf(schema: Schema): fc.Arbitrary<string> {
  const json = valueOf(schema).map((value) => JSON.stringify(value) ?? '');
  const deep = fc.integer({ min: 1, max: 100_000 }).map((depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`);
  const twice = fc.tuple(json, fc.constantFrom('why', 'ids', 'apply', '__proto__', '')).map(([one, key]) => {
    const inside = one.startsWith('{') ? one.slice(1, -1) : '';
    return `{${JSON.stringify(key)}:1,${JSON.stringify(key)}:${JSON.stringify(one)}${inside && `,${inside}`}}`;
  });
  return fc.oneof({ weight: 12, arbitrary: json }, { weight: 1, arbitrary: deep }, { weight: 1, arbitrary: twice }, { weight: 1, arbitrary: text }); // prettier-ignore
}

/** @param there names of what there is, by the name of the parameter */
export function requests(there: Record<string, readonly string[]>): fc.Arbitrary<Request> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      operation.operationId === 'stream' ? [] : [requestOf(method, path, operation, there)],
    ),
  );
  return fc.oneof(...operations);
}

function requestOf(method: string, path: string, operation: Operation, there: Record<string, readonly string[]>) {
  const { parameters = [], requestBody } = operation;
  const inPath = parameters.filter((each) => each.in === 'path').map(({ name }) => name);
  const inQuery = parameters.filter((each) => each.in === 'query');
  const segment = (name: string) => fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...(there[name] ?? ['1'])) }, { weight: 1, arbitrary: text }); // prettier-ignore
  return fc
    .record({
      names: fc.record(Object.fromEntries(inPath.map((name) => [name, segment(name)]))),
      query: fc.record(
        Object.fromEntries(inQuery.map(({ name, schema }) => [name, fc.option(valueOf(schema), { nil: undefined })])),
      ),
      body: requestBody
        ? fc.option(bodyOf(requestBody.content['application/json'].schema), { nil: undefined, freq: 8 })
        : fc.constant(undefined),
      type: fc.constantFrom(
        'application/json',
        'application/json',
        'application/json; charset=utf-8',
        'text/plain',
        '',
      ),
      key: fc.option(
        fc.string({ maxLength: 30 }).filter((key) => /^[\x21-\x7e]+$/.test(key)),
        { nil: undefined },
      ),
      match: fc.option(fc.constantFrom('*', '"x"', ',', 'W/"a"'), { nil: undefined, freq: 4 }),
    })
    .map(({ names, query, body, type, key, match }): Request => {
      const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encoded((names as Record<string, string>)[name]!));
      const asked = Object.entries(query).filter(([, value]) => value !== undefined);
      const search = asked.map(
        ([name, value]) => `${name}=${encoded(typeof value === 'string' ? value : JSON.stringify(value))}`,
      );
      return {
        method: method.toUpperCase(),
        path: filled + (search.length > 0 ? `?${search.join('&')}` : ''),
        headers: {
          ...(type && { 'content-type': type }),
          ...(key && { 'idempotency-key': key }),
          ...(match && { 'if-match': match }),
        },
        body,
      };
    });
}

/** Half a surrogate pair cannot be written in an address; a stray percent sign is left as it is now and then. */
function encoded(value: string): string {
  const whole = value.replace(/[\ud800-\udfff]/gu, '\ufffd');
  return whole === '%2e%2e' ? '%zz' : encodeURIComponent(whole);
}
