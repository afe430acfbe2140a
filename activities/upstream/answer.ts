/**
 * The response: an `Answer` for the operation, what was received with a refusal, for the error and the caller's own
 * judgement of it, or a `Reply` for the limits. Made by `call.ts`. An error keeps its response in private fields, so
 * that nothing prints it by accident.
 */
import { textOf } from './body';
import { allHeaders, headerOf, SeenHeaders } from './headers';
import type { Replied } from './spending';

/** A 2xx or a 304. */
export class Answer<T> {
  readonly #raw: readonly Buffer[];
  readonly #text: string;
  constructor(
    readonly status: number,
    /** True: a 304, the value that belongs to the ETag sent still holds, and `body` is undefined. */
    readonly notModified: boolean,
    /**
     * Parsed JSON, or what `parse` made of the text; null where the body is empty (a 204, or a 200 or 202 without one).
     */
    readonly body: T,
    readonly etag: string | undefined,
    /**
     * Epoch milliseconds of this machine at which it is stale, by RFC 9111; never early. Undefined: it does not say, or
     * is stale.
     */
    readonly expiresAt: number | undefined,
    raw: readonly Buffer[],
    text: string,
  ) {
    this.#raw = raw;
    this.#text = text;
  }

  /** Any header of the answer, by its name in lower case. */
  header(name: string): string | undefined {
    return headerOf(this.#raw, name);
  }

  /** The body as it was read, unpacked and in its charset, before it was parsed. */
  get text(): string {
    return this.#text;
  }
}

/** Bytes of a refusal's body that are kept; the rest is read and thrown away. */
export const KEPT_OF_A_REFUSAL = 64 * 1024;

/** An answer of any status, as `judge` sees it and an UpstreamError keeps it. */
export class Received {
  readonly #raw: readonly Buffer[];
  readonly #bytes: Buffer;
  readonly #limit: number;
  #text: string | undefined;
  constructor(
    readonly status: number,
    /** As it was asked for, with its query. */
    readonly path: string,
    /** For how long Longwatch holds by itself, milliseconds; undefined: it does not take it for a hold. */
    readonly holdMs: number | undefined,
    raw: readonly Buffer[],
    bytes: Buffer,
    limit: number,
  ) {
    this.#raw = raw;
    this.#bytes = bytes;
    this.#limit = limit;
  }

  /** Any header of the answer, by its name in lower case. */
  header(name: string): string | undefined {
    return headerOf(this.#raw, name);
  }

  /** The body, 64 KiB of a refusal's at most; empty where it cannot be read. */
  get text(): string {
    if (this.#text === undefined) {
      try {
        this.#text = textOf(this.#bytes, new SeenHeaders(this.#raw), this.#limit);
      } catch {
        this.#text = '';
      }
    }
    return this.#text;
  }

  /** The body as JSON; undefined where it is none. */
  get body(): unknown {
    try {
      return JSON.parse(this.text) as unknown;
    } catch {
      return undefined;
    }
  }
}

/**
 * An answer of any status as limits see it: no header of it becomes a string, and no body is parsed, before one asks.
 * A class and not an object with accessors, for one is made of each answer (`eslint.config.mjs` says what that costs).
 */
export class Reply implements Replied {
  constructor(
    readonly status: number,
    private readonly raw: readonly Buffer[],
    /** The body as it was parsed, or what it can be parsed of. */
    private readonly content: { readonly body: unknown },
    readonly refusedForMs: number | undefined,
  ) {}

  header(name: string): string | undefined {
    return headerOf(this.raw, name);
  }

  headers(): Iterable<readonly [name: string, value: string]> {
    return allHeaders(this.raw);
  }

  get body(): unknown {
    return this.content.body;
  }
}
