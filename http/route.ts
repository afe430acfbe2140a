/**
 * One route as data: its address, who may, what it takes and answers, which method of the library it is, and what it
 * does. The files of `routes/` are lists of them; `app.ts` answers by them, `openapi.ts` writes them down, and a test
 * holds that no method of the library was forgotten.
 */
import type { z } from '@hono/zod-openapi';
import type { SetOptions } from '../client/audit';
import type { Longwatch } from '../client/longwatch';
import type { ParamName, PARAMS } from './schemas';
import type { Answer } from './shapes/shape';
import type { LetIn, Role } from './who';

/** The names between braces of an address. */
type NamesIn<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | NamesIn<Rest> : never;

type ParamsOf<Path extends string> = {
  [Name in NamesIn<Path> & ParamName]: z.output<(typeof PARAMS)[Name]>;
};

type Out<S> = S extends z.ZodType ? z.output<S> : undefined;

/** The things that a handler is given. */
export interface Asked<Params = Record<string, unknown>, Query = unknown, Body = unknown> {
  /** Its commands are listed as the caller's. */
  longwatch: Longwatch;
  params: Params;
  query: Query;
  body: Body;
  caller: LetIn;
  /** The address of Temporal's own page; null: it is not known. */
  ui: string | null;
  /** `If-Match`: of options that are set, whether they are still those that the caller has read. */
  onlyIf?: SetOptions['onlyIf'];
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
}

export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete';
  /** Below `/api/v1`, with `{names}` of `PARAMS`. */
  path: string;
  /** Its name in the document. */
  id: string;
  tag: string;
  summary: string;
  role: Role;
  query?: z.ZodObject;
  body?: z.ZodType;
  answer: z.ZodType;
  /** The methods of the library that it is: `TrackerHandle.pause`. */
  covers: readonly string[];
  /** Its answer has an ETag; a PATCH of the same address obeys `If-Match`. */
  tagged?: boolean;
  /** Done twice it is not the same as done once: a push, a tick. */
  addsUp?: boolean;
  run(asked: Asked): Promise<unknown>;
}

interface Given<Path extends string, Q, B, A extends z.ZodType> {
  method: Route['method'];
  path: Path;
  id: string;
  tag: string;
  summary: string;
  /** @default read for GET, operate for all others */
  role?: Role;
  query?: Q;
  body?: B;
  answer: A;
  covers: readonly string[];
  tagged?: boolean;
  addsUp?: boolean;
  run(asked: Asked<ParamsOf<Path>, Out<Q>, Out<B>>): Promise<Answer<z.output<A>>>;
}

/** The types of what it takes come from its schemas; the compiler holds its answer against the last of them. */
export function route<
  Path extends string,
  A extends z.ZodType,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(given: Given<Path, Q, B, A>): Route {
  return { role: given.method === 'get' ? 'read' : 'operate', ...given } as unknown as Route;
}
