/**
 * The way a shape of the library becomes a schema of the API: `shapeOf<Member>()(z.object(…))` is compiled only where
 * the schema says what the type says, no more and no less. So the document (`api/openapi.json`), the types and the
 * answers cannot come apart. Used by all files beside this one.
 */
import { z } from '@hono/zod-openapi';
import type { Json } from '../../workflows/lib/json';

/** A type without its `readonly` and with all of its fields there: what two types are compared by. */
type Plain<T> = [Json] extends [T]
  ? 'json'
  : T extends readonly (infer E)[]
    ? Plain<E>[]
    : T extends object
      ? { -readonly [K in keyof T]-?: Plain<Exclude<T[K], undefined>> }
      : T;

type Same<A, B> = [Plain<A>] extends [Plain<B>] ? ([Plain<B>] extends [Plain<A>] ? true : false) : false;

/** The schema as it is; refused by the compiler where it is not that type. */
export const shapeOf =
  <T>() =>
  <S extends z.ZodType>(schema: Same<z.output<S>, T> extends true ? S : never): S =>
    schema;

/** The answer that the library may give where the schema's type is `T`: its lists may be readonly. */
export type Answer<T> = [Json] extends [T]
  ? T
  : T extends readonly (infer E)[]
    ? readonly Answer<E>[]
    : T extends object
      ? { readonly [K in keyof T]: Answer<T[K]> }
      : T;

export const Time = z.string().openapi({ format: 'date-time', example: '2026-11-29T02:00:00.000Z' });

/** Anything that JSON can say. It is told as it is: the library checks what it takes. */
export const AnyJson = z
  .unknown()
  .refine((value): value is Json => value !== undefined, 'it is missing')
  .openapi({ description: 'any JSON' }) as unknown as z.ZodType<Json, Json>;

export const Names = z.array(z.string());

/** A list, or a part of one: `next` is the cursor of what follows (`after`), null where that was all. */
export const listOf = <S extends z.ZodType>(item: S) =>
  z.object({
    items: z.array(item),
    next: z
      .string()
      .nullable()
      .openapi({ description: 'what follows is asked for with it, as `after`; null: that was all' }),
  });

/** A list that is answered whole. */
export const all = <T>(items: readonly T[]): { items: readonly T[]; next: null } => ({ items, next: null });
